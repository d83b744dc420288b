/*
 * The client of the throughput rows: one keep-alive connection that transfers bodies in one direction and checks
 * every byte of them, so that a fast wrong answer is not a result.
 *
 *   gcc -O2 -o client client.c
 *   client --relay 127.0.0.1:3800 --path /d/DEVICE --key KEY --mode down|up --bytes N [--seconds S]
 *
 * Bodies of N bytes follow one another until S seconds have passed (at least one). Downloads are compared with the
 * pattern that device.c describes; after an upload the answer of the device must say that all bytes came and matched.
 * Prints one JSON line: {"bytes":…,"exchanges":…,"seconds":…}. Anything but 200, a wrong byte, a wrong length, a
 * stall of 20 s or a lost connection ends it with exit code 1 and a reason on standard error.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { PATTERN_PERIOD = 65521, PIECE_MAX = 64 * 1024, READ_MAX = 256 * 1024 };

static uint8_t pattern[PATTERN_PERIOD + PIECE_MAX];
static uint8_t incoming[READ_MAX];
static int fd;

static void fail(const char *reason) {
    fprintf(stderr, "client: %s\n", reason);
    exit(1);
}

static double now_seconds(void) {
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void send_all(const void *p, size_t n) {
    for (size_t at = 0; at < n;) {
        ssize_t sent = send(fd, (const char *)p + at, n - at, MSG_NOSIGNAL);
        if (sent <= 0) fail("the connection was lost, or stalled, while sending");
        at += (size_t)sent;
    }
}

/*
 * Reads one response head; returns its Content-Length. `have` gets the number of body bytes that came with it,
 * moved to the start of `incoming`.
 */
static uint64_t read_head(size_t *have) {
    size_t n = 0;
    char *blank = NULL;
    while (blank == NULL) {
        ssize_t got = recv(fd, incoming + n, sizeof incoming - n, 0);
        if (got <= 0) fail("no answer: the connection was lost, or stalled");
        n += (size_t)got;
        blank = memmem(incoming, n, "\r\n\r\n", 4);
        if (blank == NULL && n == sizeof incoming) fail("an endless response head");
    }
    if (memcmp(incoming, "HTTP/1.1 200 ", 13) != 0) {
        *blank = 0;
        fprintf(stderr, "client: %.100s\n", (char *)incoming);
        exit(1);
    }
    *blank = 0;
    char *length = strcasestr((char *)incoming, "\r\ncontent-length:");
    if (length == NULL) fail("an answer without Content-Length");
    uint64_t value = strtoull(length + 17, NULL, 10);
    size_t used = (size_t)((uint8_t *)blank - incoming) + 4;
    *have = n - used;
    memmove(incoming, incoming + used, *have);
    return value;
}

static void check(uint64_t at, const uint8_t *p, size_t n) {
    while (n > 0) {
        size_t piece = n < PIECE_MAX ? n : PIECE_MAX;
        if (memcmp(p, pattern + at % PATTERN_PERIOD, piece) != 0) fail("a byte of the body is wrong");
        at += piece;
        p += piece;
        n -= piece;
    }
}

static void download(const char *path, const char *key, uint64_t bytes) {
    char head[512];
    int n = snprintf(head, sizeof head, "GET %s/down?bytes=%llu HTTP/1.1\r\nHost: relay\r\nAuthorization: Bearer %s\r\n\r\n",
                     path, (unsigned long long)bytes, key);
    send_all(head, (size_t)n);
    size_t have;
    if (read_head(&have) != bytes) fail("a wrong Content-Length");
    uint64_t at = 0;
    for (;;) {
        if (at + have > bytes) fail("more bytes than announced");
        check(at, incoming, have);
        at += have;
        if (at == bytes) return;
        ssize_t got = recv(fd, incoming, sizeof incoming, 0);
        if (got <= 0) fail("the download broke off, or stalled");
        have = (size_t)got;
    }
}

static void upload(const char *path, const char *key, uint64_t bytes) {
    char head[512];
    int n = snprintf(head, sizeof head,
                     "POST %s/up HTTP/1.1\r\nHost: relay\r\nAuthorization: Bearer %s\r\nContent-Length: %llu\r\n\r\n", path,
                     key, (unsigned long long)bytes);
    send_all(head, (size_t)n);
    for (uint64_t at = 0; at < bytes;) {
        size_t piece = bytes - at < PIECE_MAX ? (size_t)(bytes - at) : PIECE_MAX;
        send_all(pattern + at % PATTERN_PERIOD, piece);
        at += piece;
    }
    size_t have;
    uint64_t length = read_head(&have);
    while (have < length) {
        ssize_t got = recv(fd, incoming + have, sizeof incoming - have, 0);
        if (got <= 0) fail("the answer broke off");
        have += (size_t)got;
    }
    incoming[length] = 0;
    unsigned long long counted;
    int match;
    if (sscanf((char *)incoming, "bytes=%llu match=%d", &counted, &match) != 2) fail("an answer of another program");
    if (counted != bytes || match != 1) fail("the device received other bytes than were sent");
}

int main(int argc, char **argv) {
    const char *relay = NULL, *path = NULL, *key = NULL, *mode = "down";
    uint64_t bytes = 0;
    double seconds = 0;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--relay") == 0) relay = argv[i + 1];
        else if (strcmp(argv[i], "--path") == 0) path = argv[i + 1];
        else if (strcmp(argv[i], "--key") == 0) key = argv[i + 1];
        else if (strcmp(argv[i], "--mode") == 0) mode = argv[i + 1];
        else if (strcmp(argv[i], "--bytes") == 0) bytes = strtoull(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--seconds") == 0) seconds = strtod(argv[i + 1], NULL);
        else fail("unknown option");
    }
    const char *colon = relay == NULL ? NULL : strrchr(relay, ':');
    char host[64];
    if (colon == NULL || path == NULL || key == NULL || bytes == 0 || (size_t)(colon - relay) >= sizeof host) {
        fail("usage: client --relay ADDRESS:PORT --path /d/DEVICE --key KEY --mode down|up --bytes N [--seconds S]");
    }
    memcpy(host, relay, (size_t)(colon - relay));
    host[colon - relay] = 0;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10))};
    if (inet_pton(AF_INET, host, &address.sin_addr) != 1) fail("--relay takes an IPv4 address");

    uint32_t x = 1;
    for (int i = 0; i < PATTERN_PERIOD; i++) {
        x = x * 1664525u + 1013904223u;
        pattern[i] = (uint8_t)(x >> 24);
    }
    for (int i = PATTERN_PERIOD; i < PATTERN_PERIOD + PIECE_MAX; i++) pattern[i] = pattern[i - PATTERN_PERIOD];

    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct timeval stall = {.tv_sec = 20};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &stall, sizeof stall);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &stall, sizeof stall);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0) fail("the relay does not accept");

    double start = now_seconds(), passed = 0;
    uint64_t exchanges = 0;
    do {
        if (strcmp(mode, "up") == 0) upload(path, key, bytes); else download(path, key, bytes);
        exchanges++;
        passed = now_seconds() - start;
    } while (passed < seconds);
    printf("{\"bytes\":%llu,\"exchanges\":%llu,\"seconds\":%.6f}\n", (unsigned long long)(exchanges * bytes),
           (unsigned long long)exchanges, passed);
    return 0;
}
