/** An answer of the relay breaks the rules of HTTP/1.1: whatever follows on its connection means nothing. */
export class AnswerFault extends Error {
  constructor(what: string) {
    super(`the relay's answer has ${what}`);
  }
}
