// RecordIO: each record is its length in decimal, a newline, and so many bytes.

const NEWLINE = 10;

/** Cuts a stream of bytes into records. A record may come in many pieces, or many records in one piece. */
export class Records {
  private pieces: Uint8Array[] = [];
  private have = 0;
  private wanted = -1;

  /** The records that are whole with this piece. */
  push(piece: Uint8Array): Uint8Array[] {
    this.pieces.push(piece);
    this.have += piece.length;
    const records: Uint8Array[] = [];
    for (;;) {
      if (this.wanted < 0) {
        const head = this.join(Math.min(this.have, 32));
        const end = head.indexOf(NEWLINE);
        if (end < 0) {
          if (head.length >= 32) throw new Error("the stream is not RecordIO");
          return records;
        }
        const digits = new TextDecoder().decode(head.subarray(0, end));
        if (!/^\d+$/.test(digits)) throw new Error("the stream is not RecordIO");
        this.take(end + 1);
        this.wanted = Number(digits);
      }
      if (this.have < this.wanted) return records;
      records.push(this.take(this.wanted));
      this.wanted = -1;
    }
  }

  /** The first bytes, without taking them. */
  private join(length: number): Uint8Array {
    const first = this.pieces[0];
    if (first && first.length >= length) return first.subarray(0, length);
    const out = new Uint8Array(length);
    let at = 0;
    for (const piece of this.pieces) {
      const part = piece.subarray(0, length - at);
      out.set(part, at);
      at += part.length;
      if (at === length) break;
    }
    return out;
  }

  private take(length: number): Uint8Array {
    const out = this.join(length);
    let left = length;
    let whole = 0;
    for (const piece of this.pieces) {
      if (piece.length > left) break;
      left -= piece.length;
      whole += 1;
    }
    this.pieces.splice(0, whole);
    if (left > 0) this.pieces[0] = this.pieces[0]!.subarray(left);
    this.have -= length;
    return out;
  }
}
