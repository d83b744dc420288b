/*
 * The cheap device of the benches: N tunnels in one thread, so that the relay is what is measured.
 *
 *   gcc -O2 -o device device.c
 *   device --relay 127.0.0.1:3800 --tokens tokens.txt [--skip N] [--count N] [--rate PER_SECOND] [--retry MS]
 *
 * It opens one WebSocket tunnel for each line of the token file (Authorization: Bearer <token>), N of them after the first ones skipped, prints
 * "ready N" when all are up and holds them until its standard input ends. With no requests sent it is the
 * client of the idle-tunnel row. --rate bounds the first dials; without --retry 64 of them at most are under
 * way.
 *
 * With --retry a tunnel that is lost or refused for the moment is dialled again, as an agent does it: after the
 * answer's Retry-After and a random part of a ceiling, which doubles from 500 ms to the given one with each failure
 * in a row. "half K R" and "back K R" tell that half of the tunnels and all of them are up for the K-th time, R dials
 * having been refused (503 or 429) since the time before.
 *
 * On each tunnel it is the yamux *server* (it only accepts streams) and answers HTTP/1.1 with keep-alive on a
 * stream; a relay may use one stream for each request or use streams again.
 *
 *   GET  /hello              13 bytes
 *   GET  /down?bytes=N       N bytes of the pattern, Content-Length, Data frames of at most 64 KiB
 *   POST /up[?crc=1]         reads the body (Content-Length or chunked), compares it with the pattern, answers
 *                            "bytes=N match=0|1 crc=XXXXXXXX"; the CRC-32 is 0 unless asked for
 *
 * The pattern has a period of 65,521 bytes (a prime, so that a lost, doubled or misplaced 4 or 64 KiB piece does
 * not fit): byte i is the top byte of state i % 65521 of the generator x = x * 1664525 + 1013904223 mod 2^32 from
 * x = 1, after the step.
 *
 * What makes it cheap, and what a real device does otherwise:
 *   - all frames that answer one read of the socket leave as ONE WebSocket message (ACK, credit, pongs and
 *     answers together), where hashicorp/yamux sends two messages for each frame;
 *   - the head and body of a small answer are one Data frame; a download's Data frame is one unfragmented message
 *     and is sent from the pattern without a copy, where gorilla/websocket cuts 4 KiB fragments;
 *   - the masking key is zero, so masking changes no byte. The relay cannot know and unmasks as ever;
 *   - the receive window stays at 256 KiB, credit is returned by the half-window rule, as hashicorp's defaults do.
 *
 * Any break of the WebSocket or yamux rules by the relay and, without --retry, a refused tunnel and a lost one end the
 * program with a reason on standard error: the run is void.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum {
    PATTERN_PERIOD = 65521,
    FRAME_MAX = 64 * 1024,
    WINDOW = 256 * 1024,
    HEAD_MAX = 32 * 1024,
    WS_HEADER_MAX = 14,
    BATCH_MAX = 64 * 1024,
    READ_MAX = 256 * 1024,
    OPENING_MAX = 64,
    RETRY_BASE_MS = 500,
    RETRY_SCAN_MS = 5,
    HASH_START = 16,
};
enum { TYPE_DATA, TYPE_WINDOW, TYPE_PING, TYPE_GO_AWAY };
enum { FLAG_SYN = 1, FLAG_ACK = 2, FLAG_FIN = 4, FLAG_RST = 8 };
enum { IN_HEAD, IN_LENGTH, IN_CHUNK_SIZE, IN_CHUNK_DATA, IN_CHUNK_END, IN_TRAILER, IN_ANSWER };

struct bytes {
    char *at;
    size_t start, end, room;
};

struct stream {
    uint32_t id;
    struct stream *chain;       /* next in the hash bucket */
    struct stream *next;        /* next in the ring of those with something to send */
    int in_ring;
    uint64_t send_window;
    uint32_t recv_window, consumed;
    int local_fin;              /* we sent FIN and wait for the relay's */
    int close_after;            /* the request said Connection: close */
    /* the request */
    int in;                     /* IN_… */
    struct bytes head;          /* a head that came in pieces */
    uint64_t body_left;         /* of the length, or of the chunk */
    uint64_t chunk_size;
    unsigned line_length;
    uint64_t up_bytes;
    int up_match, up_crc_wanted;
    uint32_t up_crc;
    /* the answer */
    struct bytes pending;       /* small answer without credit */
    uint64_t down_left, down_at;
};

struct tunnel {
    int fd;
    int dialled;                /* the kernel is connecting, or has connected */
    int sent;                   /* the request for the upgrade is out */
    int open;                   /* the 101 has come */
    int lost;                   /* to be dropped and dialled again */
    unsigned failures;          /* in a row */
    int64_t due;                /* when to dial again, if it is neither dialled nor new */
    const char *token;
    int wants_out;
    struct bytes upgrade;       /* the relay's answer to the upgrade */
    struct bytes backlog;       /* bytes the kernel did not take */
    /* WebSocket in */
    uint8_t ws_header[WS_HEADER_MAX];
    unsigned ws_have;
    uint64_t ws_left;
    int ws_opcode, ws_fragmented;
    uint8_t control[125];
    unsigned control_have;
    /* yamux in */
    uint8_t header[12];
    unsigned header_have;
    uint32_t data_left, data_id;
    uint16_t data_flags;
    struct stream *data_stream;
    struct stream **buckets;
    uint32_t bucket_count, stream_count;
    struct stream *ring_first, *ring_last;
};

static uint8_t pattern[PATTERN_PERIOD + FRAME_MAX];
static uint8_t incoming[READ_MAX];
/* Frames of the tunnel in hand; the room in front takes the WebSocket header. */
static uint8_t batch_room[WS_HEADER_MAX + BATCH_MAX + 64];
static uint8_t *const batch = batch_room + WS_HEADER_MAX;
static size_t batch_used;
static struct stream *spare;
static uint32_t crc_table[256];
static int poller;
static struct sockaddr_in address;
/* --retry: the ceiling of the pause, 0 without. */
static long retry_ms;
static uint32_t random_state = 1;
static size_t refused;          /* since half or all were up last */

static void fail(const char *reason) {
    fprintf(stderr, "device: %s\n", reason);
    exit(1);
}

/* The end of a tunnel that the relay may close: its owner drops it once its bytes are dealt with. */
static void lose(struct tunnel *t, const char *reason) {
    if (retry_ms == 0) fail(reason);
    t->lost = 1;
}

static void prepare_tables(void) {
    uint32_t x = 1;
    for (int i = 0; i < PATTERN_PERIOD; i++) {
        x = x * 1664525u + 1013904223u;
        pattern[i] = (uint8_t)(x >> 24);
    }
    for (int i = PATTERN_PERIOD; i < PATTERN_PERIOD + FRAME_MAX; i++) pattern[i] = pattern[i - PATTERN_PERIOD];
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int k = 0; k < 8; k++) c = c & 1 ? 0xEDB88320u ^ (c >> 1) : c >> 1;
        crc_table[i] = c;
    }
}

static uint32_t crc32_of(uint32_t crc, const uint8_t *p, size_t n) {
    crc = ~crc;
    while (n--) crc = crc_table[(crc ^ *p++) & 255] ^ (crc >> 8);
    return ~crc;
}

/* ---- growing byte arrays ---- */

static void bytes_append(struct bytes *b, const void *p, size_t n) {
    if (b->end + n > b->room && b->start > 0) {
        memmove(b->at, b->at + b->start, b->end - b->start);
        b->end -= b->start;
        b->start = 0;
    }
    if (b->end + n > b->room) {
        b->room = (b->end + n) * 2;
        b->at = realloc(b->at, b->room);
        if (b->at == NULL) fail("out of memory");
    }
    memcpy(b->at + b->end, p, n);
    b->end += n;
}

static size_t bytes_length(const struct bytes *b) { return b->end - b->start; }

static void bytes_free(struct bytes *b) {
    free(b->at);
    memset(b, 0, sizeof *b);
}

/* ---- sending ---- */

static void want_out(struct tunnel *t, int wanted) {
    if (t->wants_out == wanted) return;
    t->wants_out = wanted;
    struct epoll_event event = {.events = EPOLLIN | (wanted ? EPOLLOUT : 0u), .data.ptr = t};
    if (epoll_ctl(poller, EPOLL_CTL_MOD, t->fd, &event) < 0) fail("epoll_ctl");
}

/* Sends both parts in one call; what the kernel does not take goes to the backlog. */
static void send_parts(struct tunnel *t, const void *a, size_t an, const void *b, size_t bn) {
    size_t sent = 0;
    if (t->lost) return;
    if (bytes_length(&t->backlog) == 0) {
        struct iovec parts[2] = {{(void *)a, an}, {(void *)b, bn}};
        struct msghdr message = {.msg_iov = parts, .msg_iovlen = bn > 0 ? 2 : 1};
        ssize_t n = sendmsg(t->fd, &message, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN) {
            lose(t, "the relay closed a tunnel (send)");
            return;
        }
        if (n > 0) sent = (size_t)n;
    }
    if (sent < an) {
        bytes_append(&t->backlog, (const char *)a + sent, an - sent);
        sent = an;
    }
    if (sent < an + bn) bytes_append(&t->backlog, (const char *)b + (sent - an), an + bn - sent);
    want_out(t, bytes_length(&t->backlog) > 0);
}

/* Client frame header for one final binary message; the masking key is zero. */
static size_t ws_header_size(size_t n) { return n < 126 ? 6 : n < 65536 ? 8 : 14; }

static void ws_header_write(uint8_t *h, int opcode, size_t n) {
    size_t at = 2;
    h[0] = (uint8_t)(0x80 | opcode);
    if (n < 126) {
        h[1] = (uint8_t)(0x80 | n);
    } else if (n < 65536) {
        h[1] = 0x80 | 126;
        h[at++] = (uint8_t)(n >> 8);
        h[at++] = (uint8_t)n;
    } else {
        h[1] = 0x80 | 127;
        for (int shift = 56; shift >= 0; shift -= 8) h[at++] = (uint8_t)((uint64_t)n >> shift);
    }
    memset(h + at, 0, 4);
}

static void batch_flush(struct tunnel *t) {
    if (batch_used == 0) return;
    size_t header = ws_header_size(batch_used);
    ws_header_write(batch - header, 2, batch_used);
    send_parts(t, batch - header, header + batch_used, NULL, 0);
    batch_used = 0;
}

static void put_u32(uint8_t *p, uint32_t v) {
    p[0] = (uint8_t)(v >> 24);
    p[1] = (uint8_t)(v >> 16);
    p[2] = (uint8_t)(v >> 8);
    p[3] = (uint8_t)v;
}

static uint32_t get_u32(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void header_write(uint8_t *p, int type, int flags, uint32_t id, uint32_t length) {
    p[0] = 0;
    p[1] = (uint8_t)type;
    p[2] = 0;
    p[3] = (uint8_t)flags;
    put_u32(p + 4, id);
    put_u32(p + 8, length);
}

static void batch_control(struct tunnel *t, int type, int flags, uint32_t id, uint32_t length) {
    if (batch_used + 12 > BATCH_MAX) batch_flush(t);
    header_write(batch + batch_used, type, flags, id, length);
    batch_used += 12;
}

/* n is at most HEAD_MAX. The caller has checked the credit. */
static void batch_data(struct tunnel *t, struct stream *s, const void *p, size_t n) {
    if (batch_used + 12 + n > BATCH_MAX) batch_flush(t);
    header_write(batch + batch_used, TYPE_DATA, 0, s->id, (uint32_t)n);
    memcpy(batch + batch_used + 12, p, n);
    batch_used += 12 + n;
    s->send_window -= n;
}

/* ---- streams ---- */

static struct stream **stream_slot(struct tunnel *t, uint32_t id) {
    struct stream **slot = &t->buckets[(id >> 1) & (t->bucket_count - 1)];
    while (*slot != NULL && (*slot)->id != id) slot = &(*slot)->chain;
    return slot;
}

static struct stream *stream_find(struct tunnel *t, uint32_t id) {
    return t->bucket_count == 0 ? NULL : *stream_slot(t, id);
}

static void buckets_grow(struct tunnel *t) {
    uint32_t old_count = t->bucket_count;
    struct stream **old = t->buckets;
    t->bucket_count = old_count == 0 ? HASH_START : old_count * 2;
    t->buckets = calloc(t->bucket_count, sizeof *t->buckets);
    if (t->buckets == NULL) fail("out of memory");
    for (uint32_t i = 0; i < old_count; i++) {
        for (struct stream *s = old[i], *following; s != NULL; s = following) {
            following = s->chain;
            struct stream **slot = &t->buckets[(s->id >> 1) & (t->bucket_count - 1)];
            s->chain = *slot;
            *slot = s;
        }
    }
    free(old);
}

static struct stream *stream_open(struct tunnel *t, uint32_t id) {
    if (t->stream_count >= t->bucket_count) buckets_grow(t);
    struct stream *s = spare;
    if (s != NULL) {
        spare = s->next;
        memset(s, 0, sizeof *s);
    } else {
        s = calloc(1, sizeof *s);
        if (s == NULL) fail("out of memory");
    }
    s->id = id;
    s->send_window = WINDOW;
    s->recv_window = WINDOW;
    struct stream **slot = &t->buckets[(id >> 1) & (t->bucket_count - 1)];
    s->chain = *slot;
    *slot = s;
    t->stream_count++;
    return s;
}

static void ring_remove(struct tunnel *t, struct stream *gone) {
    struct stream *before = NULL;
    for (struct stream *s = t->ring_first; s != NULL; before = s, s = s->next) {
        if (s != gone) continue;
        if (before == NULL) t->ring_first = s->next; else before->next = s->next;
        if (t->ring_last == s) t->ring_last = before;
        break;
    }
    gone->in_ring = 0;
}

static void ring_add(struct tunnel *t, struct stream *s) {
    if (s->in_ring) return;
    s->in_ring = 1;
    s->next = NULL;
    if (t->ring_last == NULL) t->ring_first = s; else t->ring_last->next = s;
    t->ring_last = s;
}

static void stream_free(struct tunnel *t, struct stream *s) {
    if (s->in_ring) ring_remove(t, s);
    struct stream **slot = stream_slot(t, s->id);
    *slot = s->chain;
    t->stream_count--;
    if (t->data_stream == s) t->data_stream = NULL;
    bytes_free(&s->head);
    bytes_free(&s->pending);
    s->next = spare;
    spare = s;
}

/* The answer is out: the stream waits for a next request, or is closed. */
static void answer_complete(struct tunnel *t, struct stream *s) {
    s->in = IN_HEAD;
    if (s->close_after && !s->local_fin) {
        s->local_fin = 1;
        batch_control(t, TYPE_WINDOW, FLAG_FIN, s->id, 0);
    }
}

static void answer_small(struct tunnel *t, struct stream *s, const char *text, size_t n) {
    if (s->send_window >= n) {
        batch_data(t, s, text, n);
        answer_complete(t, s);
        return;
    }
    s->in = IN_ANSWER;
    bytes_append(&s->pending, text, n);
    ring_add(t, s);
}

/* One Data frame of a download, straight from the pattern. */
static void send_down_frame(struct tunnel *t, struct stream *s) {
    uint64_t n = s->down_left < FRAME_MAX ? s->down_left : FRAME_MAX;
    if (n > s->send_window) n = s->send_window;
    batch_flush(t);
    uint8_t head[WS_HEADER_MAX + 12];
    size_t ws = ws_header_size(12 + n);
    ws_header_write(head, 2, 12 + n);
    header_write(head + ws, TYPE_DATA, 0, s->id, (uint32_t)n);
    send_parts(t, head, ws + 12, pattern + s->down_at % PATTERN_PERIOD, n);
    s->down_at += n;
    s->down_left -= n;
    s->send_window -= n;
}

/* Sends for the streams in the ring, one frame each in turn, while the kernel takes it. */
static void pump(struct tunnel *t) {
    while (t->ring_first != NULL && bytes_length(&t->backlog) == 0) {
        struct stream *s = t->ring_first;
        ring_remove(t, s);
        size_t small = bytes_length(&s->pending);
        if (small > 0) {
            size_t n = small < s->send_window ? small : (size_t)s->send_window;
            if (n == 0) continue;
            batch_data(t, s, s->pending.at + s->pending.start, n);
            s->pending.start += n;
        } else if (s->down_left > 0) {
            if (s->send_window == 0) continue;
            send_down_frame(t, s);
        }
        if (bytes_length(&s->pending) > 0 || s->down_left > 0) {
            ring_add(t, s);
        } else {
            bytes_free(&s->pending);
            answer_complete(t, s);
        }
    }
}

/* ---- HTTP ---- */

static void answer_text(struct tunnel *t, struct stream *s, const char *status, const char *text) {
    char all[512];
    int n = snprintf(all, sizeof all,
                     "HTTP/1.1 %s\r\nContent-Type: text/plain; charset=utf-8\r\n"
                     "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Length: %zu\r\n\r\n%s",
                     status, strlen(text), text);
    answer_small(t, s, all, (size_t)n);
}

static void answer_up(struct tunnel *t, struct stream *s) {
    char text[96];
    snprintf(text, sizeof text, "bytes=%llu match=%d crc=%08x", (unsigned long long)s->up_bytes, s->up_match,
             s->up_crc);
    answer_text(t, s, "200 OK", text);
}

static void answer_down(struct tunnel *t, struct stream *s, uint64_t bytes) {
    char head[160];
    int n = snprintf(head, sizeof head,
                     "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n"
                     "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Length: %llu\r\n\r\n",
                     (unsigned long long)bytes);
    s->in = IN_ANSWER;
    s->down_left = bytes;
    s->down_at = 0;
    bytes_append(&s->pending, head, (size_t)n);
    ring_add(t, s);
}

static int field_is(const char *line, size_t n, const char *name, const char **value, size_t *value_length) {
    size_t length = strlen(name);
    if (n <= length || line[length] != ':' || strncasecmp(line, name, length) != 0) return 0;
    const char *at = line + length + 1, *end = line + n;
    while (at < end && (*at == ' ' || *at == '\t')) at++;
    while (end > at && (end[-1] == ' ' || end[-1] == '\t')) end--;
    *value = at;
    *value_length = (size_t)(end - at);
    return 1;
}

/* Acts on one complete head; n counts the empty line. */
static void request_head(struct tunnel *t, struct stream *s, const char *head, size_t n) {
    const char *end = head + n;
    const char *target = memchr(head, ' ', n);
    if (target == NULL) fail("a request without a target");
    target++;
    const char *target_end = memchr(target, ' ', (size_t)(end - target));
    if (target_end == NULL) fail("a request line without a version");
    int chunked = 0;
    uint64_t length = 0;
    s->close_after = 0;
    const char *line = memchr(head, '\n', n);
    for (line++; line < end;) {
        const char *line_end = memchr(line, '\r', (size_t)(end - line));
        if (line_end == NULL || line_end == line) break;
        size_t line_length = (size_t)(line_end - line);
        const char *value;
        size_t value_length;
        if ((*line | 32) == 'c') {
            if (field_is(line, line_length, "content-length", &value, &value_length)) {
                length = strtoull(value, NULL, 10);
            } else if (field_is(line, line_length, "connection", &value, &value_length)) {
                s->close_after = value_length == 5 && strncasecmp(value, "close", 5) == 0;
            }
        } else if ((*line | 32) == 't' && field_is(line, line_length, "transfer-encoding", &value, &value_length)) {
            chunked = 1;
        }
        line = line_end + 2;
    }
    size_t target_length = (size_t)(target_end - target);
    if (target_length == 6 && memcmp(target, "/hello", 6) == 0) {
        answer_text(t, s, "200 OK", "Hello, world!");
    } else if (target_length > 12 && memcmp(target, "/down?bytes=", 12) == 0) {
        answer_down(t, s, strtoull(target + 12, NULL, 10));
    } else if (target_length >= 3 && memcmp(target, "/up", 3) == 0) {
        s->up_bytes = 0;
        s->up_match = 1;
        s->up_crc = 0;
        s->up_crc_wanted = memmem(target, target_length, "crc=1", 5) != NULL;
        s->body_left = length;
        s->chunk_size = 0;
        s->in = chunked ? IN_CHUNK_SIZE : IN_LENGTH;
        if (!chunked && length == 0) answer_up(t, s);
    } else {
        if (chunked || length > 0) s->close_after = 1; /* The body is not read. */
        answer_text(t, s, "404 Not Found", "no such path");
    }
}

static void up_bytes(struct stream *s, const uint8_t *p, size_t n) {
    if (s->up_crc_wanted) s->up_crc = crc32_of(s->up_crc, p, n);
    while (n > 0) {
        size_t piece = n < FRAME_MAX ? n : FRAME_MAX;
        if (s->up_match && memcmp(p, pattern + s->up_bytes % PATTERN_PERIOD, piece) != 0) s->up_match = 0;
        s->up_bytes += piece;
        p += piece;
        n -= piece;
    }
}

static int hex_of(uint8_t c) {
    if (c >= '0' && c <= '9') return c - '0';
    c |= 32;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Takes what it can of the chunked coding; returns the bytes used. */
static size_t chunked_step(struct tunnel *t, struct stream *s, const uint8_t *p, size_t n) {
    if (s->in == IN_CHUNK_DATA) {
        size_t take = s->body_left < n ? (size_t)s->body_left : n;
        up_bytes(s, p, take);
        s->body_left -= take;
        if (s->body_left == 0) s->in = IN_CHUNK_END;
        return take;
    }
    uint8_t c = *p;
    if (s->in == IN_CHUNK_END) {
        if (c == '\n') s->in = IN_CHUNK_SIZE;
    } else if (s->in == IN_CHUNK_SIZE) {
        if (c == '\n') {
            s->body_left = s->chunk_size;
            s->in = s->chunk_size == 0 ? IN_TRAILER : IN_CHUNK_DATA;
            s->chunk_size = 0;
            s->line_length = 0;
        } else if (hex_of(c) >= 0) {
            s->chunk_size = s->chunk_size * 16 + (uint64_t)hex_of(c);
        } else if (c != '\r') {
            fail("a chunk size that is no hexadecimal number");
        }
    } else if (c == '\n') {
        if (s->line_length == 0) answer_up(t, s);
        s->line_length = 0;
    } else if (c != '\r') {
        s->line_length++;
    }
    return 1;
}

/* Takes head bytes; returns the bytes used. */
static size_t head_step(struct tunnel *t, struct stream *s, const uint8_t *p, size_t n) {
    size_t before = bytes_length(&s->head);
    if (before == 0) {
        const uint8_t *blank = memmem(p, n, "\r\n\r\n", 4);
        if (blank != NULL) {
            size_t used = (size_t)(blank - p) + 4;
            request_head(t, s, (const char *)p, used);
            return used;
        }
    }
    bytes_append(&s->head, p, n);
    char *blank = memmem(s->head.at, s->head.end, "\r\n\r\n", 4);
    if (blank == NULL) {
        if (s->head.end > HEAD_MAX) fail("a request head over 32 KiB");
        return n;
    }
    struct bytes head = s->head;
    memset(&s->head, 0, sizeof s->head);
    size_t length = (size_t)(blank - head.at) + 4;
    request_head(t, s, head.at, length);
    free(head.at);
    return length - before;
}

static void stream_data(struct tunnel *t, struct stream *s, const uint8_t *p, size_t n) {
    s->consumed += (uint32_t)n;
    if (s->consumed >= WINDOW / 2) {
        batch_control(t, TYPE_WINDOW, 0, s->id, s->consumed);
        s->recv_window += s->consumed;
        s->consumed = 0;
    }
    while (n > 0) {
        size_t used;
        if (s->local_fin) return;
        if (s->in == IN_HEAD) {
            used = head_step(t, s, p, n);
        } else if (s->in == IN_LENGTH) {
            used = s->body_left < n ? (size_t)s->body_left : n;
            up_bytes(s, p, used);
            s->body_left -= used;
            if (s->body_left == 0) answer_up(t, s);
        } else if (s->in == IN_ANSWER) {
            fail("request bytes while an answer is still being sent");
            return;
        } else {
            used = chunked_step(t, s, p, n);
        }
        p += used;
        n -= used;
    }
}

/* ---- yamux in ---- */

/* The relay ended its side: any running answer is given up, as a Go server gives it up. */
static void stream_fin(struct tunnel *t, struct stream *s) {
    if (!s->local_fin) batch_control(t, TYPE_WINDOW, FLAG_FIN, s->id, 0);
    stream_free(t, s);
}

static void frame_begin(struct tunnel *t, const uint8_t *h) {
    int type = h[1], flags = h[2] << 8 | h[3];
    uint32_t id = get_u32(h + 4), length = get_u32(h + 8);
    if (h[0] != 0 || type > TYPE_GO_AWAY) fail("a bad yamux header");
    if (type == TYPE_GO_AWAY) {
        if (length != 0) fail("the relay said go away with an error");
        return;
    }
    if (type == TYPE_PING) {
        if (flags & FLAG_SYN) batch_control(t, TYPE_PING, FLAG_ACK, 0, length);
        return;
    }
    if (flags & FLAG_SYN) {
        if ((id & 1) == 0 || stream_find(t, id) != NULL) fail("a SYN with a wrong or used stream id");
        stream_open(t, id);
        batch_control(t, TYPE_WINDOW, FLAG_ACK, id, 0);
    }
    struct stream *s = stream_find(t, id);
    if (s != NULL && (flags & FLAG_RST)) {
        stream_free(t, s);
        s = NULL;
    }
    if (type == TYPE_DATA) {
        if (s != NULL && length > s->recv_window) fail("data beyond the window");
        if (s != NULL) s->recv_window -= length;
        t->data_stream = s;
        t->data_left = length;
        t->data_flags = (uint16_t)flags;
        if (length > 0) return;
    } else if (s != NULL) {
        s->send_window += length;
        if (bytes_length(&s->pending) > 0 || s->down_left > 0) ring_add(t, s);
    }
    if (s != NULL && (flags & FLAG_FIN)) stream_fin(t, s);
}

static void yamux_feed(struct tunnel *t, const uint8_t *p, size_t n) {
    while (n > 0) {
        if (t->data_left > 0) {
            size_t take = t->data_left < n ? t->data_left : n;
            t->data_left -= (uint32_t)take;
            if (t->data_stream != NULL) stream_data(t, t->data_stream, p, take);
            if (t->data_left == 0 && t->data_stream != NULL && (t->data_flags & FLAG_FIN)) {
                stream_fin(t, t->data_stream);
            }
            p += take;
            n -= take;
            continue;
        }
        if (t->header_have == 0 && n >= 12) {
            frame_begin(t, p);
            p += 12;
            n -= 12;
            continue;
        }
        t->header[t->header_have++] = *p++;
        n--;
        if (t->header_have == 12) {
            t->header_have = 0;
            frame_begin(t, t->header);
        }
    }
}

/* ---- WebSocket in ---- */

static void ws_control(struct tunnel *t) {
    if (t->ws_opcode == 8) lose(t, "the relay closed a tunnel");
    if (t->ws_opcode != 9) return;
    batch_flush(t);
    uint8_t head[WS_HEADER_MAX];
    ws_header_write(head, 10, t->control_have);
    send_parts(t, head, ws_header_size(t->control_have), t->control, t->control_have);
}

static void ws_frame_begin(struct tunnel *t) {
    const uint8_t *h = t->ws_header;
    int final = h[0] & 0x80, opcode = h[0] & 15, length = h[1] & 127;
    t->ws_left = (uint64_t)length;
    if (length == 126) t->ws_left = (uint64_t)h[2] << 8 | h[3];
    if (length == 127) t->ws_left = (uint64_t)get_u32(h + 2) << 32 | get_u32(h + 6);
    t->ws_have = 0;
    t->ws_opcode = opcode;
    if (opcode >= 8) {
        if (opcode > 10 || !final || t->ws_left > 125) fail("a bad WebSocket control frame");
        t->control_have = 0;
        if (t->ws_left == 0) ws_control(t);
        return;
    }
    if (opcode != (t->ws_fragmented ? 0 : 2)) fail("a WebSocket frame that is neither binary nor its continuation");
    t->ws_fragmented = !final;
}

static void ws_feed(struct tunnel *t, const uint8_t *p, size_t n) {
    while (n > 0 && !t->lost) {
        if (t->ws_left > 0) {
            size_t take = t->ws_left < n ? (size_t)t->ws_left : n;
            t->ws_left -= take;
            if (t->ws_opcode >= 8) {
                memcpy(t->control + t->control_have, p, take);
                t->control_have += (unsigned)take;
                if (t->ws_left == 0) ws_control(t);
            } else {
                yamux_feed(t, p, take);
            }
            p += take;
            n -= take;
            continue;
        }
        t->ws_header[t->ws_have++] = *p++;
        n--;
        if (t->ws_have == 1 && (t->ws_header[0] & 0x70)) fail("reserved bits in a WebSocket frame");
        if (t->ws_have < 2) continue;
        if (t->ws_header[1] & 0x80) fail("a masked WebSocket frame from the relay");
        unsigned length = t->ws_header[1] & 127;
        if (t->ws_have == (length == 127 ? 10u : length == 126 ? 4u : 2u)) ws_frame_begin(t);
    }
}

/* ---- tunnels ---- */

static int64_t now_ms(void) {
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void watch(struct tunnel *t, uint32_t events, int operation) {
    struct epoll_event event = {.events = events, .data.ptr = t};
    if (epoll_ctl(poller, operation, t->fd, &event) < 0) fail("epoll_ctl");
}

/* Forgets all that belongs to a connection, and says when to dial again. `wait_s` is what the relay asked for. */
static void tunnel_drop(struct tunnel *t, long wait_s) {
    for (uint32_t i = 0; i < t->bucket_count; i++) {
        while (t->buckets[i] != NULL) stream_free(t, t->buckets[i]);
    }
    free(t->buckets);
    bytes_free(&t->upgrade);
    bytes_free(&t->backlog);
    close(t->fd);
    unsigned failures = t->failures + 1;
    int64_t ceiling = RETRY_BASE_MS;
    for (unsigned i = 1; i < failures && ceiling < retry_ms; i++) ceiling *= 2;
    if (ceiling > retry_ms) ceiling = retry_ms;
    random_state = random_state * 1664525u + 1013904223u;
    int64_t pause = (int64_t)((random_state >> 8) % (uint32_t)(ceiling + 1));
    struct tunnel fresh = {
        .fd = -1, .token = t->token, .failures = failures, .due = now_ms() + wait_s * 1000 + pause,
    };
    *t = fresh;
}

static void tunnel_request(struct tunnel *t) {
    char text[512];
    int n = snprintf(text, sizeof text,
                     "GET /tunnel/connect HTTP/1.1\r\nHost: relay\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
                     "Authorization: Bearer %s\r\n\r\n",
                     t->token);
    t->sent = 1;
    if (send(t->fd, text, (size_t)n, MSG_NOSIGNAL) != n) lose(t, "the relay closed during the upgrade");
    else watch(t, EPOLLIN, EPOLL_CTL_MOD);
}

/* Dials without waiting: a full queue of the relay's listener must not hold up the other tunnels. */
static void tunnel_dial(struct tunnel *t) {
    t->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (t->fd < 0) fail("no socket: is the limit of open files too low?");
    t->dialled = 1;
    int on = 1;
    setsockopt(t->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    watch(t, EPOLLOUT, EPOLL_CTL_ADD);
    if (connect(t->fd, (const struct sockaddr *)&address, sizeof address) < 0 && errno != EINPROGRESS) {
        lose(t, "the relay does not accept");
    }
    if (t->lost) tunnel_drop(t, 0);
}

/* Seconds of a Retry-After field; 0 without one. */
static long retry_after(const char *head) {
    const char *field = strcasestr(head, "\r\nretry-after:");
    return field == NULL ? 0 : strtol(field + 14, NULL, 10);
}

/* Reads the answer to the upgrade; returns 1 once the tunnel is up. */
static int upgrade_feed(struct tunnel *t, const uint8_t *p, size_t n) {
    bytes_append(&t->upgrade, p, n);
    char *blank = memmem(t->upgrade.at, t->upgrade.end, "\r\n\r\n", 4);
    if (blank == NULL) {
        if (t->upgrade.end > HEAD_MAX) fail("an endless answer to the upgrade");
        return 0;
    }
    if (t->upgrade.end < 12 || memcmp(t->upgrade.at, "HTTP/1.1 101", 12) != 0) {
        *blank = 0;
        int for_now = memcmp(t->upgrade.at, "HTTP/1.1 503", 12) == 0 || memcmp(t->upgrade.at, "HTTP/1.1 429", 12) == 0;
        if (retry_ms == 0 || !for_now) {
            fprintf(stderr, "device: the relay refused a tunnel: %.200s\n", t->upgrade.at);
            exit(1);
        }
        refused++;
        tunnel_drop(t, retry_after(t->upgrade.at));
        return 0;
    }
    t->open = 1;
    t->failures = 0;
    struct bytes rest = t->upgrade;
    memset(&t->upgrade, 0, sizeof t->upgrade);
    size_t used = (size_t)(blank - rest.at) + 4;
    ws_feed(t, (const uint8_t *)rest.at + used, rest.end - used);
    free(rest.at);
    return 1;
}

/* Returns 1 when this read brought the tunnel up. */
static int tunnel_read(struct tunnel *t) {
    ssize_t n = recv(t->fd, incoming, sizeof incoming, 0);
    if (n < 0 && errno == EAGAIN) return 0;
    if (n <= 0) {
        if (n < 0 && retry_ms == 0) fprintf(stderr, "device: %s\n", strerror(errno));
        lose(t, t->open ? "the relay closed a tunnel" : "the relay closed during the upgrade");
        return 0;
    }
    if (!t->open) {
        int opened = upgrade_feed(t, incoming, (size_t)n);
        if (!opened) return 0;
        pump(t);
        batch_flush(t);
        return 1;
    }
    ws_feed(t, incoming, (size_t)n);
    pump(t);
    batch_flush(t);
    return 0;
}

static void tunnel_write(struct tunnel *t) {
    if (!t->sent) {
        int error = 0;
        socklen_t size = sizeof error;
        getsockopt(t->fd, SOL_SOCKET, SO_ERROR, &error, &size);
        if (error != 0) lose(t, "the relay does not accept");
        else tunnel_request(t);
        return;
    }
    struct bytes *b = &t->backlog;
    ssize_t n = send(t->fd, b->at + b->start, bytes_length(b), MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN) {
        lose(t, "the relay closed a tunnel (send)");
        return;
    }
    if (n > 0) b->start += (size_t)n;
    if (bytes_length(b) > 0) return;
    bytes_free(b);
    want_out(t, 0);
    pump(t);
    batch_flush(t);
}

static char **read_tokens(const char *file, size_t *count) {
    FILE *in = fopen(file, "r");
    if (in == NULL) fail("cannot read the token file");
    size_t room = 0, have = 0, line_room = 0;
    char **tokens = NULL, *line = NULL;
    ssize_t n;
    while ((n = getline(&line, &line_room, in)) > 0) {
        while (n > 0 && (line[n - 1] == '\n' || line[n - 1] == '\r')) line[--n] = 0;
        if (n == 0) continue;
        if (have == room) {
            room = room == 0 ? 64 : room * 2;
            tokens = realloc(tokens, room * sizeof *tokens);
            if (tokens == NULL) fail("out of memory");
        }
        tokens[have++] = strdup(line);
    }
    free(line);
    fclose(in);
    *count = have;
    return tokens;
}

/* Dials again what is due, a few times in a hundredth of a second at most. */
static void retry_due(struct tunnel *tunnels, size_t count) {
    static int64_t next_scan;
    int64_t now = now_ms();
    if (now < next_scan) return;
    next_scan = now + RETRY_SCAN_MS;
    for (size_t i = 0; i < count; i++) {
        struct tunnel *t = &tunnels[i];
        if (!t->dialled && t->due <= now) tunnel_dial(t);
    }
}

/* Tells that half of the tunnels, or all, are up for the first time since they were not. */
static void tell(size_t opened, size_t count) {
    static int was_half, was_all;
    static unsigned halves, times;
    if (!was_half && opened * 2 >= count) {
        was_half = 1;
        if (retry_ms > 0) printf("half %u %zu\n", ++halves, refused);
    }
    if (!was_all && opened == count) {
        was_all = 1;
        if (times++ == 0) printf("ready %zu\n", opened);
        if (retry_ms > 0) printf("back %u %zu\n", times, refused);
        refused = 0;
    }
    if (opened * 2 < count) was_half = was_all = 0;
    fflush(stdout);
}

/* Reads and writes what one event says; returns by how much the number of tunnels that are up has changed. */
static int serve(struct tunnel *t, uint32_t events) {
    int change = 0;
    if ((events & EPOLLOUT) || (!t->sent && (events & (EPOLLERR | EPOLLHUP)))) tunnel_write(t);
    if (!t->lost && t->sent && (events & (EPOLLIN | EPOLLERR | EPOLLHUP))) change = tunnel_read(t);
    if (t->lost) {
        change -= t->open;
        tunnel_drop(t, 0);
    }
    return change;
}

/* Serves all tunnels until standard input ends. */
static void run(struct tunnel *tunnels, size_t count, long rate) {
    size_t dialled = 0, opened = 0;
    int64_t start = now_ms();
    struct epoll_event events[256];
    for (;;) {
        while (dialled < count && (retry_ms > 0 || dialled - opened < OPENING_MAX) &&
               (int64_t)dialled * 1000 / rate <= now_ms() - start) {
            tunnel_dial(&tunnels[dialled]);
            dialled++;
        }
        if (retry_ms > 0 && opened < dialled) retry_due(tunnels, dialled);
        int n = epoll_wait(poller, events, 256, opened < count ? 1 : -1);
        if (n < 0 && errno != EINTR) fail("epoll_wait");
        for (int i = 0; i < n; i++) {
            struct tunnel *t = events[i].data.ptr;
            if (t == NULL) {
                char byte;
                if (read(STDIN_FILENO, &byte, 1) <= 0) return;
                continue;
            }
            int change = serve(t, events[i].events);
            if (change == 0) continue;
            opened = (size_t)((long)opened + change);
            tell(opened, count);
        }
    }
}

int main(int argc, char **argv) {
    const char *relay = NULL, *token_file = NULL;
    size_t count = SIZE_MAX, skip = 0;
    long rate = 1500;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--relay") == 0) relay = argv[i + 1];
        else if (strcmp(argv[i], "--tokens") == 0) token_file = argv[i + 1];
        else if (strcmp(argv[i], "--count") == 0) count = strtoul(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--skip") == 0) skip = strtoul(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--rate") == 0) rate = strtol(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--retry") == 0) retry_ms = strtol(argv[i + 1], NULL, 10);
        else fail("unknown option");
    }
    if (relay == NULL || token_file == NULL || rate < 1 || retry_ms < 0) {
        fail("usage: device --relay ADDRESS:PORT --tokens FILE [--skip N] [--count N] [--rate PER_SECOND] [--retry MS]");
    }
    address.sin_family = AF_INET;
    char host[64];
    const char *colon = strrchr(relay, ':');
    if (colon == NULL || (size_t)(colon - relay) >= sizeof host) fail("--relay takes ADDRESS:PORT");
    memcpy(host, relay, (size_t)(colon - relay));
    host[colon - relay] = 0;
    address.sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
    if (inet_pton(AF_INET, host, &address.sin_addr) != 1) fail("--relay takes an IPv4 address");

    prepare_tables();
    size_t token_count;
    char **tokens = read_tokens(token_file, &token_count);
    if (skip >= token_count) fail("no tokens");
    tokens += skip;
    if (count > token_count - skip) count = token_count - skip;
    struct tunnel *tunnels = calloc(count, sizeof *tunnels);
    poller = epoll_create1(EPOLL_CLOEXEC);
    if (tunnels == NULL || poller < 0) fail("out of memory");
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, STDIN_FILENO, &event) < 0) fail("standard input must be a pipe");

    for (size_t i = 0; i < count; i++) tunnels[i].token = tokens[i];

    run(tunnels, count, rate);
    return 0;
}
