"""Decodes a native segment as FORMAT.md specifies it, with nothing of Selvedge's own code.

Reads a segment from standard input and writes one JSON object a record to standard output.
Fails on anything that is not as specified, so that agreement with it means something.
"""

import json
import struct
import sys
import uuid
import zlib

HEADER = struct.Struct("<8sHH16sIQII")
TYPES = [
    None,
    "session_meta",
    "response_item",
    "event_msg",
    "turn_context",
    "compacted",
    "world_state",
    "metadata_patch",
]
ENCODINGS = ["json", "json_with_ordinal", "json_line", "binary"]
LARGEST_FRAME_BODY = 64 * 1024 * 1024 + 512


class Reader:
    """Reads the fields of an envelope from the front of some bytes."""

    def __init__(self, data):
        self.data = data
        self.at = 0

    def take(self, length):
        taken = self.data[self.at : self.at + length]
        assert len(taken) == length, "an envelope is cut short"
        self.at += length
        return taken

    def byte(self):
        return self.take(1)[0]

    def varint(self):
        first = self.byte()
        if first <= 250:
            return first
        width = {251: 2, 252: 4, 253: 8}[first]
        return int.from_bytes(self.take(width), "little")

    def zigzag(self):
        number = self.varint()
        return number >> 1 if number % 2 == 0 else -(number >> 1) - 1

    def text(self):
        return self.take(self.varint()).decode("utf-8")


def envelope_and_payload(body):
    reader = Reader(body)
    assert reader.byte() == 1, "the envelope has another version"
    record = {"ordinal": reader.varint(), "micros": reader.zigzag()}
    code = reader.varint()
    record["type"] = reader.text() if code == 0 else TYPES[code]
    record["event"] = reader.byte()
    turn = reader.varint()
    assert turn <= 2, "the turn has another form"
    record["turn"] = None
    if turn == 1:
        record["turn"] = str(uuid.UUID(bytes=reader.take(16)))
    elif turn == 2:
        record["turn"] = reader.text()
    record["batch_index"] = reader.varint()
    is_last = reader.byte()
    assert is_last <= 1, "the end of a batch is a truth value"
    record["is_last"] = is_last == 1
    record["encoding"] = ENCODINGS[reader.varint()]
    record["payload"] = body[reader.at :].hex()
    return record


def records(segment):
    fields = HEADER.unpack_from(segment)
    magic, version, flags, _thread, _number, ordinal, reserved, header_crc = fields
    assert (magic, version, flags, reserved) == (b"SLVDGLOG", 1, 0, 0), "no such segment"
    assert zlib.crc32(segment[:44]) == header_crc, "the header is damaged"
    seed = zlib.crc32(segment[44:48])
    at = HEADER.size
    batch_index = 0
    while at < len(segment):
        length, crc = struct.unpack_from("<II", segment, at)
        assert 9 <= length <= LARGEST_FRAME_BODY, "a length is out of bounds"
        body = segment[at + 8 : at + 8 + length]
        (trailing,) = struct.unpack_from("<I", segment, at + 8 + length)
        assert trailing == length, "the two lengths differ"
        seeded = zlib.crc32(segment[at : at + 4], seed)
        assert zlib.crc32(body, seeded) == crc, "a frame is damaged"
        record = envelope_and_payload(body)
        assert record["ordinal"] == ordinal, "an ordinal is missing"
        assert record["batch_index"] == batch_index, "a batch is not whole"
        yield record
        ordinal += 1
        batch_index = 0 if record["is_last"] else batch_index + 1
        at += 12 + length
    assert batch_index == 0, "the last batch is not whole"


if __name__ == "__main__":
    for each in records(sys.stdin.buffer.read()):
        print(json.dumps(each))
