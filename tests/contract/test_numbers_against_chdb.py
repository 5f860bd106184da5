"""Numeric text counts, and numbers print, as ClickHouse has it."""

import random
import struct
from decimal import Decimal
from math import isinf, isnan

import msgspec

from domain.metering.numbers import json_text, read_number
from tests.contract.chdb_engine import ask, literals

decode = msgspec.json.Decoder(float_hook=Decimal).decode


def any_double(rnd: random.Random) -> float:
    kind = rnd.randint(0, 2)
    if kind == 0:
        (number,) = struct.unpack("d", rnd.randbytes(8))
        return 1.5 if isnan(number) or isinf(number) else number
    if kind == 1:
        return rnd.randint(-9999, 9999) * 10.0 ** rnd.randint(-12, 25)
    return rnd.uniform(-1, 1) * 10 ** rnd.randint(-8, 24)


def test_a_json_number_has_the_text_of_json_value():
    rnd = random.Random(5)
    texts = [repr(any_double(rnd)) for _ in range(1500)]
    texts += [f"{any_double(rnd):.4e}" for _ in range(300)] + [
        str(rnd.randint(-(10**30), 10**30)) for _ in range(50)
    ]
    texts += [
        "0",
        "-0",
        "-0.0",
        "0.0",
        "1.10",
        "1e5",
        "1E5",
        "1e-400",
        "1e400",
        "-1e400",
        "9007199254740993.0",
        "5e-324",
    ]
    texts += [
        "18446744073709551616",
        "-9223372036854775809",
        "1.0",
        "100.0",
        "12345.6789e3",
        "0.0001",
        "0.001",
    ]
    documents = [f'{{"n":{text}}}' for text in texts]

    answers = ask(
        f"SELECT JSON_VALUE(d, '$.n') FROM (SELECT arrayJoin({literals(documents)}) AS d)"
    )

    assert [json_text(decode(text)) for text in texts] == [text for (text,) in answers]


def any_text(rnd: random.Random) -> str:
    if rnd.random() < 0.5:
        return repr(any_double(rnd))
    return "".join(rnd.choice("0123456789.eE+-") for _ in range(rnd.randint(0, 7)))


ODD = [
    "4.5e2", "0x10", " 4", "4 ", "", "NaN", "-Infinity", "inf", "+1", "++1", "-", ".", ".5", "5.", "-.5", "1e", "1e+",
    "1_000", "1,000", "1e400", "-1e400", "1e-400", "1" * 40, "1" * 400, "0." + "1" * 500, "1e0005", "0e99999",
    "1e99999999999999999999", "1e-99999999999999999999", "0e99999999999999999999", "\uff11", "\u0663", "1.2.3", "1d", "0b1",
    "1.e5", "\t1", "1\n", "1\0", "true", "0" * 500 + "7",
]  # fmt: skip


def test_text_is_a_number_when_the_engine_reads_a_finite_one():
    rnd = random.Random(7)
    texts = ODD + [any_text(rnd) for _ in range(1500)]

    answers = ask(
        "SELECT isNotNull(x) AND isFinite(assumeNotNull(x)), reinterpretAsInt64(assumeNotNull(x))"
        f" FROM (SELECT toFloat64OrNull(t) AS x FROM (SELECT arrayJoin({literals(texts)}) AS t))"
    )

    numbers = 0
    for text, (finite, bits) in zip(texts, answers, strict=True):
        ours = read_number(text)
        assert (ours is not None) == bool(finite), text
        if ours is not None:
            (theirs,) = struct.unpack("d", struct.pack("q", int(bits)))
            assert abs(float(ours) - theirs) <= 4e-16 * abs(theirs), text
            numbers += 1
    assert numbers > 500
