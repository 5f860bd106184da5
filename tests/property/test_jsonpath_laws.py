"""Laws of JSONPath: a path made of the steps to a value finds it; any text compiles or is refused; nothing else happens."""

from hypothesis import example, given
from hypothesis import strategies as st

from domain.errors import Refused
from domain.metering.jsonpath import MISSING, PATH_LENGTH_MAX, STEPS_MAX, compile_path

names = st.text(min_size=1, max_size=8)
documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=12,
)


def path_of(steps) -> str:
    parts = []
    for step in steps:
        if isinstance(step, int):
            parts.append(f"[{step}]")
        else:
            escaped = step.replace("\\", "\\\\").replace('"', '\\"')
            parts.append(f'["{escaped}"]')
    return "$" + "".join(parts)


def nodes(value, steps=()):
    yield steps, value
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from nodes(inner, (*steps, name))
    if isinstance(value, list):
        for index, inner in enumerate(value):
            yield from nodes(inner, (*steps, index))


@given(documents)
def test_the_steps_to_a_value_find_it(document):
    for steps, value in nodes(document):
        path = path_of(steps)
        if len(path) <= PATH_LENGTH_MAX and len(steps) <= STEPS_MAX:
            assert compile_path(path).find(document) is value
            assert compile_path(path).steps == steps


@given(documents, st.lists(names | st.integers(0, 3), max_size=4))
def test_other_steps_find_nothing(document, steps):
    there = dict(nodes(document))

    assert compile_path(path_of(steps)).find(document) is there.get(tuple(steps), MISSING)


@given(documents, st.integers(1, 4))
def test_a_star_finds_the_first_scalar_that_any_index_finds(document, depth):
    matches = [
        value
        for steps, value in nodes(document)
        if len(steps) == depth and all(isinstance(step, int) for step in steps)
    ]
    scalars = [value for value in matches if not isinstance(value, list | dict)]

    found = compile_path("$" + "[*]" * depth).find(document)

    assert found is (scalars or matches or [MISSING])[0]


@given(st.text(alphabet="$.[]*'\"\\ab01 -é\0", max_size=14) | st.text(max_size=300))
@example("$" + ".a" * STEPS_MAX)
@example("$" + ".a" * (STEPS_MAX + 1))
@example("$" + "[" * 200)
@example("$[" + "\\" * 250)
def test_any_text_compiles_or_is_refused(text):
    code = None
    try:
        steps = compile_path(text).steps
    except Refused as refused:
        code = refused.code

    if code is None:
        assert text.startswith("$")
        assert len(steps) <= STEPS_MAX
    else:
        assert code in ("path_invalid", "path_too_long")
