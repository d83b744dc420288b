import http, { type IncomingMessage, type ServerResponse } from "node:http";
import { readUnsignedJwt, writeUnsignedJwt } from "../../../src/access-proxy/index.ts";
import type { Exchange } from "../idp/index.ts";
import { COOPERATION_ERROR_FIELD, type ReceivedRequest } from "../receiver/index.ts";
import { AT_TAG, BOB, IDP_B, type Stack, startStack, TO_TA } from "../stack.ts";
import { type Chapter, fieldDetails, type Message, members } from "./story.ts";

/** A call that the backend makes, and what must come of it. */
interface Call {
  readonly title: string;
  readonly method: "GET" | "POST";
  readonly path: string;
  readonly users: Readonly<Record<string, object>>;
  readonly body: string | null;
  /** Parties that are asked, in their order: `coop-from https://idp-a.example`, `target session`. */
  readonly expected: readonly string[];
  /** Done before the call. */
  readonly before?: (stack: Stack) => void;
}

const SESS_LABEL = "Edo-Cooperation";
const PROXY = "access proxy";
const BACKEND = "backend";

const READER = { reader: { at_tag: AT_TAG } };
const ONE_IDP = [
  "coop-from https://idp-a.example",
  "target code-tokens",
  "coop-to https://idp-a.example",
];

const CALLS: readonly Call[] = [
  {
    title: "One user, one ID provider: the way over the ID provider",
    method: "GET",
    path: "/api/reader/profile?full=1",
    users: READER,
    body: null,
    expected: [...ONE_IDP, "content reader"],
  },
  {
    title: "The same call again: the session makes the ID provider needless",
    method: "GET",
    path: "/api/reader/profile?full=1",
    users: READER,
    body: null,
    expected: ["target session", "content reader"],
  },
  {
    title:
      "The target has lost its sessions: refused once, and mediated anew, unseen by the backend",
    method: "GET",
    path: "/api/reader/profile?full=1",
    users: READER,
    body: null,
    expected: ["target session", "refusal", ...ONE_IDP, "content reader"],
    before: ({ receiver }) => receiver.dropSessions(),
  },
  {
    title:
      "Two users on two ID providers: the first one's referral introduces the caller to the second",
    method: "POST",
    path: "/api/invite",
    users: { inviter: { at_tag: AT_TAG }, observer: { iss: IDP_B, sub: BOB } },
    body: '{"room":"blue"}',
    expected: [
      "coop-from https://idp-a.example",
      "coop-from https://idp-b.example",
      "target code-tokens",
      "coop-to https://idp-a.example",
      "coop-to https://idp-b.example",
      "content inviter observer",
    ],
  },
];

/** What the demo's target answers: whom it was called for. */
export function profile(request: IncomingMessage, answer: ServerResponse): void {
  const body = JSON.stringify({
    calledBy: request.headers["x-auth-from-id"],
    principal: request.headers["x-auth-user-tag"],
  });
  request.resume();
  answer.writeHead(200, { "Content-Type": "application/json" }).end(body);
}

/** The parties, and a record of what they say to each other. */
export class Demo {
  readonly stack: Stack;
  /** What was said since the current call began. */
  #messages: Message[] = [];
  /** The same by name, to be compared. */
  #seen: string[] = [];

  private constructor(stack: Stack) {
    this.stack = stack;
  }

  /** Starts all parties. Whoever starts a demo closes its stack. */
  static async start(): Promise<Demo> {
    // Nobody says anything before the demo makes its first call.
    let demo: Demo;
    const stack = await startStack({
      content: profile,
      onExchange: (exchange) => demo.#heardExchange(exchange),
      onRequest: (request) => demo.#heardRequest(request),
    });
    demo = new Demo(stack);
    return demo;
  }

  /** Makes all calls, one after another, and tells of each. */
  async tour(tell: (chapter: Chapter) => void): Promise<boolean> {
    let isWell = true;
    for (const call of CALLS) {
      const chapter = await this.#chapter(call);
      isWell &&= chapter.faults.length === 0;
      tell(chapter);
    }
    return isWell;
  }

  async #chapter(call: Call): Promise<Chapter> {
    const { title, expected } = call;
    this.#messages = [];
    this.#seen = [];
    call.before?.(this.stack);
    const fields = [
      "X-Access-Proxy-To",
      this.stack.receiver.url + call.path,
      "X-Access-Proxy-To-Id",
      TO_TA,
      "X-Access-Proxy-Users",
      writeUnsignedJwt(call.users),
      "Cookie",
      "theme=dark",
    ];
    this.#messages.push({
      from: BACKEND,
      to: PROXY,
      what: call.method,
      why: "The backend says where the call goes and whom it concerns; it signs nothing.",
      details: fieldDetails(fields, SESS_LABEL),
    });
    const answer = await send(this.stack.proxyUrl, call, fields);
    this.#messages.push({
      from: PROXY,
      to: BACKEND,
      what: String(answer.status),
      why: "The answer of the content handler, relayed as it is.",
      details: [...fieldDetails(answer.fields, SESS_LABEL), { name: "body", value: answer.body }],
    });
    const faults: string[] = [];
    if (answer.status !== 200) faults.push(`the answer is ${answer.status} ${answer.body}`);
    if (this.#seen.join() !== expected.join()) {
      faults.push(`expected ${expected.join(", ")}; saw ${this.#seen.join(", ")}`);
    }
    return { title, messages: this.#messages, faults };
  }

  #heardExchange({ issuer, endpoint, request, status, answer }: Exchange): void {
    const asking = endpoint === "coop-from" ? PROXY : TO_TA;
    this.#seen.push(`${endpoint} ${issuer}`);
    this.#messages.push(
      {
        from: asking,
        to: issuer,
        what: `POST ${endpoint}`,
        why: reasonOf(endpoint, request?.["grant_type"]),
        details: detailsOf(request ?? {}),
      },
      {
        from: issuer,
        to: asking,
        what: String(status),
        why: answerReasonOf(endpoint, answer),
        details: detailsOf(answer),
      },
    );
  }

  #heardRequest({ at, method, url, fields, status }: ReceivedRequest): void {
    const details = fieldDetails(fields, SESS_LABEL);
    const request = `${method} ${url}`;
    switch (at) {
      case "arrival": {
        const has = fields.includes("X-Edo-Code-Tokens");
        this.#seen.push(`target ${has ? "code-tokens" : "session"}`);
        const why = arrivalReason(has);
        this.#messages.push({ from: PROXY, to: TO_TA, what: request, why, details });
        return;
      }
      case "content":
        this.#seen.push(`content ${tagsIn(fields)}`);
        this.#messages.push({
          from: TO_TA,
          to: "content handler",
          what: request,
          why: CONTENT_REASON,
          details,
        });
        return;
      case "refusal":
        this.#seen.push("refusal");
        this.#messages.push({
          from: TO_TA,
          to: PROXY,
          what: String(status),
          why: REFUSAL_REASON,
          details,
        });
    }
  }
}

const REFUSAL_REASON =
  "The content handler has not seen the call, so the proxy forgets the session and may send it once more.";

const CONTENT_REASON =
  "The front end has checked everything; X-Auth-… says for whom, and is unsigned, since it stays within the TA.";

function arrivalReason(hasCodeTokens: boolean): string {
  return hasCodeTokens
    ? "The request itself, with one line of code token for each ID provider; the backend's own fields are as they were."
    : `The request itself, with the session that the target granted. A target that does not know it answers 403 with ${COOPERATION_ERROR_FIELD}.`;
}

function reasonOf(endpoint: Exchange["endpoint"], grantType: unknown): string {
  if (endpoint === "coop-to") {
    return "The target redeems the code of the code token, and proves who it is.";
  }
  return grantType === "referral"
    ? "The proxy shows the referral: the first ID provider vouches for it by the hash of the account."
    : "The proxy asks in the from-TA's name, with the user's access token and proof of its own key.";
}

function answerReasonOf(endpoint: Exchange["endpoint"], answer: Exchange["answer"]): string {
  if ("error" in answer) return "Refused.";
  if (endpoint === "coop-to") {
    return "access_token" in answer
      ? "Who the users are, and an access token for the target's own calls on."
      : "Who the users are; no access token, since the principal is not from here.";
  }
  return "referral" in answer
    ? "A code for the target, and a referral for the other ID providers; ref_hash ties them together."
    : "A code for the target, signed; without the target's key it is of no use.";
}

function detailsOf(json: Readonly<Record<string, unknown>>): Message["details"] {
  return Object.entries(members(json)).map(([name, value]) => ({ name, value }));
}

/** Tags of the accounts that a content handler is told of, the principal's first. */
function tagsIn(fields: readonly string[]): string {
  const value = (name: string): string => {
    const at = fields.indexOf(name);
    return at < 0 ? "" : (fields[at + 1] ?? "");
  };
  const users = readUnsignedJwt(value("X-Auth-Users"));
  return [value("X-Auth-User-Tag"), ...(users.ok ? Object.keys(users.claims) : [])].join(" ");
}

interface Received {
  readonly status: number;
  /** Names and values in turn. */
  readonly fields: readonly string[];
  readonly body: string;
}

function send(url: string, { method, body }: Call, fields: readonly string[]): Promise<Received> {
  const content =
    body === null
      ? []
      : ["Content-Type", "application/json", "Content-Length", String(Buffer.byteLength(body))];
  return new Promise((resolve, reject) => {
    const request = http.request(url, {
      method,
      agent: false,
      headers: [
        "Host",
        new URL(url).host,
        ...content,
        ...fields,
      ] as unknown as http.OutgoingHttpHeaders,
    });
    request.on("error", reject);
    request.on("response", (answer) => {
      let text = "";
      answer.setEncoding("utf8");
      answer.on("data", (chunk: string) => {
        text += chunk;
      });
      answer.on("error", reject);
      answer.on("end", () =>
        resolve({ status: answer.statusCode ?? 0, fields: answer.rawHeaders, body: text }),
      );
    });
    request.end(body ?? undefined);
  });
}
