"""`meterstream simulate` as a person or a program meets it."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from runtime.cli import app
from runtime.simulate import document

ADD = {"kind": "add", "start": "2024-01-31T00:00:00Z", "duration": "P1M"}
NEXT = {
    "kind": "next_after",
    "interval": "P1M",
    "anchor": "2024-01-31T00:00:00Z",
    "at": "2024-02-01T00:00:00Z",
    "boundary": "exclusive",
}
ITEM = {"key": "seats", "version": 0, "price": "flat_in_advance", "cadence": "P1M"}
PHASE = {
    "subscription_start": "2021-01-01T00:00:00Z",
    "billing_cadence": "P1M",
    "billing_anchor": "2021-01-01T00:00:00Z",
    "generate_until": "2021-01-01T00:00:00Z",
    "items": [ITEM],
}


def simulate(kind: str, cases: object, *options: str) -> Result:
    text = cases if isinstance(cases, str) else json.dumps(cases)
    return CliRunner().invoke(app, ["simulate", kind, "-", *options], input=text)


def test_a_case_gives_its_result():
    done = simulate("recurrence", ADD)

    assert json.loads(done.stdout) == {"at": "2024-02-29T00:00:00Z"}
    assert (done.stderr, done.exit_code) == ("", 0)


@pytest.mark.parametrize("id_", ["any", 7, None, ["a"], {"b": 1}])
def test_the_id_is_echoed_whatever_it_is(id_):
    done = simulate("recurrence", ADD | {"id": id_})

    assert json.loads(done.stdout) == {"id": id_, "at": "2024-02-29T00:00:00Z"}


def test_an_array_gives_an_array_in_the_same_order():
    done = simulate("recurrence", [NEXT | {"id": 2}, ADD | {"id": 1}])

    assert [result["id"] for result in json.loads(done.stdout)] == [2, 1]


def test_an_empty_array_gives_an_empty_one():
    assert json.loads(simulate("recurrence", []).stdout) == []


def test_a_file_is_read(tmp_path: Path):
    path = tmp_path / "case.json"
    path.write_text(json.dumps(ADD))

    done = CliRunner().invoke(app, ["simulate", "recurrence", str(path)])

    assert json.loads(done.stdout) == {"at": "2024-02-29T00:00:00Z"}


def test_in_an_array_a_refused_case_is_its_error_and_the_others_go_on():
    done = simulate("recurrence", [NEXT | {"interval": "P0D", "id": "no"}, ADD])

    refused, fine = json.loads(done.stdout)
    assert refused["id"] == "no"
    assert set(refused["error"]) == {"code", "message"}
    assert refused["error"]["code"] == "interval_not_positive"
    assert "$.interval" in refused["error"]["message"]
    assert fine == {"at": "2024-02-29T00:00:00Z"}
    assert (done.stderr, done.exit_code) == ("", 0)


def test_a_single_refused_case_is_one_line_with_field_and_code():
    done = simulate("recurrence", NEXT | {"interval": "P0D"})

    assert_one_line(done, "$.interval", "interval_not_positive")


@pytest.mark.parametrize(
    ("kind", "case", "field"),
    [
        ("recurrence", {}, "$.kind"),
        ("recurrence", ADD | {"kind": "sometimes"}, "$.kind"),
        ("recurrence", ADD | {"kind": 1}, "$.kind"),
        ("recurrence", ADD | {"start": None}, "$.start"),
        ("recurrence", ADD | {"start": "2024-01-31"}, "$.start"),
        ("recurrence", ADD | {"start": "2024-01-31T00:00:00"}, "$.start"),
        ("recurrence", ADD | {"start": "2024-02-30T00:00:00Z"}, "$.start"),
        ("recurrence", ADD | {"start": "0001-01-01T00:00:00+01:00"}, "$.start"),
        ("recurrence", ADD | {"start": 1706659200}, "$.start"),
        ("recurrence", ADD | {"duration": "1 month"}, "$.duration"),
        ("recurrence", ADD | {"duration": 1}, "$.duration"),
        ("recurrence", ADD | {"duration": ""}, "$.duration"),
        ("recurrence", ADD | {"duration": "P9999Y"}, "$.duration"),
        ("recurrence", NEXT | {"interval": "month"}, "$.interval"),
        ("recurrence", NEXT | {"anchor": True}, "$.anchor"),
        ("recurrence", NEXT | {"at": []}, "$.at"),
        ("recurrence", NEXT | {"at": "9999-12-31T00:00:00Z"}, "$.at"),
        ("recurrence", NEXT | {"boundary": "both"}, "$.boundary"),
        ("recurrence", NEXT | {"boundary": None}, "$.boundary"),
        ("periods", {}, "$.subscription_start"),
        ("periods", PHASE | {"subscription_start": "now"}, "$.subscription_start"),
        ("periods", PHASE | {"subscription_end": "never"}, "$.subscription_end"),
        ("periods", PHASE | {"subscription_end": "2020-01-01T00:00:00Z"}, "$.subscription_end"),
        ("periods", PHASE | {"phase_end": 0}, "$.phase_end"),
        ("periods", PHASE | {"phase_end": "2020-01-01T00:00:00Z"}, "$.phase_end"),
        ("periods", PHASE | {"billing_cadence": "monthly"}, "$.billing_cadence"),
        ("periods", PHASE | {"billing_cadence": "P0M"}, "$.billing_cadence"),
        ("periods", PHASE | {"billing_anchor": {}}, "$.billing_anchor"),
        ("periods", PHASE | {"generate_until": "2021"}, "$.generate_until"),
        ("periods", PHASE | {"items": None}, "$.items"),
        ("periods", PHASE | {"items": {}}, "$.items"),
        ("periods", PHASE | {"items": [ITEM] * 1_001}, "$.items"),
        ("periods", PHASE | {"items": ["seats"]}, "$.items[0]"),
        ("periods", PHASE | {"items": [ITEM, ITEM]}, "$.items"),
        ("periods", PHASE | {"items": [ITEM, ITEM | {"key": ""}]}, "$.items[1].key"),
        ("periods", PHASE | {"items": [ITEM | {"key": "k" * 1_025}]}, "$.items[0].key"),
        ("periods", PHASE | {"items": [ITEM | {"version": -1}]}, "$.items[0].version"),
        ("periods", PHASE | {"items": [ITEM | {"version": 0.5}]}, "$.items[0].version"),
        ("periods", PHASE | {"items": [ITEM | {"version": True}]}, "$.items[0].version"),
        ("periods", PHASE | {"items": [ITEM | {"price": "free"}]}, "$.items[0].price"),
        ("periods", PHASE | {"items": [ITEM | {"cadence": "P1"}]}, "$.items[0].cadence"),
        ("periods", PHASE | {"items": [ITEM | {"cadence": "PT1M"}]}, "$.items[0].cadence"),
        ("periods", PHASE | {"items": [ITEM | {"starts_after": "-P1D"}]}, "$.items[0].starts_after"),
        ("periods", PHASE | {"items": [ITEM | {"starts_after": "P9Z"}]}, "$.items[0].starts_after"),
        ("periods", PHASE | {"items": [ITEM | {"starts_after": "P9999Y"}]}, "$.items[0].starts_after"),
        ("periods", PHASE | {"items": [ITEM | {"ends_after": 5}]}, "$.items[0].ends_after"),
        ("periods", PHASE | {"items": [ITEM | {"ends_after": "P9999Y"}]}, "$.items[0].ends_after"),
    ],
)  # fmt: skip
def test_wrong_input_is_one_line_that_names_the_field(kind: str, case: object, field: str):
    assert_one_line(simulate(kind, case), f"{field}: ")


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[1", "null", "1", '"a"', "{}x", "[]]", "{'kind': 1}", '{"id": 1, "id": 2}', "[" * 100_000, "\udcff",
        '{"id": ' + "9" * 5_000 + "}",
    ],
)  # fmt: skip
def test_what_is_no_json_object_is_one_line(text: str):
    data = text.encode("utf-8", "surrogateescape")

    done = CliRunner().invoke(app, ["simulate", "recurrence", "-"], input=data)

    assert_one_line(done)


def test_wrong_input_in_an_array_names_the_case_and_prints_nothing():
    done = simulate("periods", [PHASE, PHASE | {"items": [ITEM | {"price": "free"}]}])

    assert_one_line(done, "$[1].items[0].price: ")


def test_a_case_that_is_no_object_is_named():
    assert_one_line(simulate("recurrence", [ADD, 5]), "$[1]: ")


@pytest.mark.parametrize("name", ["missing.json", "."])
def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path, name: str):
    done = CliRunner().invoke(app, ["simulate", "recurrence", str(tmp_path / name)])

    assert_one_line(done, str(tmp_path))


def test_too_many_cases_are_one_line():
    assert_one_line(simulate("recurrence", [0] * (document.MAX_CASES + 1)), str(document.MAX_CASES))


def test_a_field_that_the_format_does_not_have_is_warned_of_once():
    done = simulate("recurrence", [ADD | {"sart": 1}, ADD | {"sart": 2, "note": None}])

    assert done.stderr == "meterstream: $.sart: not a field of this case, ignored\n"
    assert done.exit_code == 0
    assert len(json.loads(done.stdout)) == 2


def test_many_unknown_fields_are_a_bounded_number_of_lines():
    done = simulate("recurrence", ADD | {f"x{number}": 1 for number in range(50)})

    lines = done.stderr.splitlines()
    assert len(lines) == 21
    assert lines[-1] == "meterstream: and 30 more unknown fields"


def test_a_line_break_in_the_input_does_not_break_the_line():
    assert_one_line(simulate("recurrence", ADD | {"kind": "a\nb"}), "$.kind")


@pytest.mark.parametrize(
    ("case", "said"),
    [
        (ADD, "2024-01-31T00:00:00Z + P1M = 2024-02-29T00:00:00Z"),
        (NEXT, "every P1M, counted from 2024-01-31T00:00:00Z: the first after 2024-02-01T00:00:00Z is 2024-02-29T00:00:00Z"),
        (
            NEXT | {"kind": "prev_before", "boundary": "inclusive"},
            "every P1M, counted from 2024-01-31T00:00:00Z: the last before or at 2024-02-01T00:00:00Z is 2024-01-31T00:00:00Z",
        ),
        (
            NEXT | {"kind": "period_at"},
            "every P1M, counted from 2024-01-31T00:00:00Z: 2024-02-01T00:00:00Z lies in [2024-01-31T00:00:00Z, 2024-02-29T00:00:00Z)",
        ),
    ],
)  # fmt: skip
def test_a_recurrence_is_explained_in_a_sentence(case: object, said: str):
    assert simulate("recurrence", case, "--explain").stdout == said + "\n"


def test_accounts_of_an_array_have_headings_and_say_what_is_refused():
    cases = [ADD | {"id": "feb"}, NEXT | {"interval": "P0D"}]

    lines = simulate("recurrence", cases, "--explain").stdout.splitlines()

    assert lines[0] == "case feb"
    assert lines[3] == "case 1"
    assert lines[4].startswith("refused (interval_not_positive): $.interval")


def test_the_account_of_periods_says_when_each_is_due():
    phase = PHASE | {"subscription_start": "2021-01-05T00:00:00Z", "generate_until": "2021-01-05T00:00:00Z"}  # fmt: skip

    said = simulate("periods", phase, "--explain").stdout

    assert "on invoice at" in said
    assert "seats v0" in said
    assert said.count("2021-01-05T00:00:00Z") == 3


@pytest.mark.parametrize("option", [["--plot"], ["--png", "x.png"]])
def test_there_is_no_picture_of_a_recurrence(option: list[str]):
    assert_one_line(simulate("recurrence", [ADD], *option))


ORDER = {"kind": "order", "grants": []}


def test_an_option_that_does_not_fit_a_case_is_named_as_an_option():
    assert_one_line(simulate("credits", [ORDER], "--explain"), "meterstream: --explain: ")


def test_one_picture_file_is_for_one_case(tmp_path: Path):
    assert_one_line(simulate("credits", [ORDER], "--png", str(tmp_path / "x.png")), "$: ")


def test_an_unknown_kind_is_refused():
    assert CliRunner().invoke(app, ["simulate", "invoices", "-"]).exit_code == 2


def assert_one_line(done: Result, *parts: str) -> None:
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("meterstream: ")
    for part in parts:
        assert part in done.stderr
    assert done.stdout == ""
    assert done.exit_code == 2
