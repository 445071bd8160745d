"""Expected words of Philox4x32-10, written to philox.inc beside this file.

A plain transcription of the paper's definition, checked here against the known answers published
with Random123 before anything is written.
"""
import pathlib

MASK = 0xFFFFFFFF


def philox(counter, key):
    c, k = list(counter), list(key)
    for _ in range(10):
        a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(b >> 32) ^ c[1] ^ k[0], b & MASK, (a >> 32) ^ c[3] ^ k[1], a & MASK]
        k = [(k[0] + 0x9E3779B9) & MASK, (k[1] + 0xBB67AE85) & MASK]
    return c


KNOWN = [
    ([0] * 4, [0] * 2, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
    ([MASK] * 4, [MASK] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
    (
        [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
        [0xA4093822, 0x299F31D0],
        [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
    ),
]
for counter, key, expected in KNOWN:
    assert philox(counter, key) == expected

lines = ["// Made by philox.py: seed, stream, block number, words.\n"]
for seed, stream, block in [
    (0, 0, 0),
    (0x299F31D0A4093822, 0x0370734413198A2E, 0x05A308D3243F6A88),
    (2**64 - 1, 2**64 - 1, 2**62 - 1),
    (42, 7, 0x100000001),
]:
    split = lambda v: [v & MASK, v >> 32]
    words = ", ".join(f"{w:#010x}" for w in philox(split(block) + split(stream), split(seed)))
    lines.append(f"{{{seed:#x}, {stream:#x}, {block:#x}, {{{words}}}}},\n")
pathlib.Path(__file__).with_suffix(".inc").write_text("".join(lines))
