"""A run's data by domain: which questions steer, and which only judge."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.recipe.teaching import example, prompt, write_inputs

from teachable.errors import TeachableError
from teachable.recipe.domains import Domain, dev_and_test, read_domains
from teachable.records import Prompt
from teachable.store.files import read_records, write_records

MANY = [prompt(domain, i) for domain in ("sevens", "nines") for i in range(40)]


@pytest.mark.parametrize(("frac", "n"), [(0.5, 20), (0.25, 10), (0.01, 1), (0.99, 39)])
def test_each_domain_gives_its_share_to_either_side(frac: float, n: int) -> None:
    dev, test = dev_and_test(MANY, frac)
    for domain in ("sevens", "nines"):
        assert sum(one.domain == domain for one in dev) == n
    assert sorted(one.id for one in [*dev, *test]) == sorted(one.id for one in MANY)


def test_which_side_hangs_on_the_questions_alone() -> None:
    dev, test = dev_and_test(MANY, 0.5)
    assert dev_and_test(MANY[::-1], 0.5) == (dev[::-1], test[::-1])
    more, _ = dev_and_test([*MANY, prompt("sevens", 99)], 0.5)
    assert len({one.id for one in dev} - {one.id for one in more}) <= 1  # a question more takes one place at most
    assert [one.id for one in dev if one.domain == "sevens"] != [f"sevens{i:03}" for i in range(20)]


def read(run: Path, *names: str, taught: tuple[str, ...] = ()) -> list[Domain]:
    return read_domains(run / "tasks", run / "select", names, 0.5, where="tune", taught=taught)


def test_domains_come_in_the_order_in_which_they_are_named(tmp_path: Path) -> None:
    write_inputs(tmp_path, None, n=3, n_heldout=4)
    assert [domain.name for domain in read(tmp_path)] == ["nines", "sevens"]
    assert [domain.name for domain in read(tmp_path, "sevens", "nines")] == ["sevens", "nines"]
    [sevens] = read(tmp_path, "sevens")
    assert sevens.examples == tuple(example("sevens", i) for i in range(3))
    assert {len(sevens.dev), len(sevens.test)} == {2}
    assert {one.domain for one in (*sevens.dev, *sevens.test)} == {"sevens"}


def test_all_domains_are_those_that_were_selected(tmp_path: Path) -> None:
    write_inputs(tmp_path, None, n=3, n_heldout=4, domains=("sevens", "nines", "tens"))
    write_records(tmp_path / "select/examples.jsonl", [example("tens", 0), example("nines", 1)])
    assert [domain.name for domain in read(tmp_path)] == ["nines", "tens"]
    with pytest.raises(TeachableError, match="no example of the domain 'sevens' was selected"):
        read(tmp_path, "sevens")
    [taught] = read(tmp_path, "sevens", taught=("sevens",))  # its examples are elsewhere
    assert taught.examples == () and taught.dev


def test_an_empty_selection_is_no_domain_at_all(tmp_path: Path) -> None:
    write_inputs(tmp_path, None, n=3, n_heldout=4)
    write_records(tmp_path / "select/examples.jsonl", [])
    with pytest.raises(TeachableError, match=r"the selection holds no examples to train on\. .*decisions.parquet"):
        read(tmp_path)
    (tmp_path / "select/examples.jsonl").unlink()
    with pytest.raises(TeachableError, match="the selection holds no examples to train on"):
        read(tmp_path)


def test_no_domain_has_the_name_of_the_base(tmp_path: Path) -> None:
    write_inputs(tmp_path, None, n=3, n_heldout=4, domains=("sevens", "base"))
    with pytest.raises(TeachableError, match="a domain can't be called 'base'"):
        read(tmp_path)
    assert [domain.name for domain in read(tmp_path, "sevens")] == ["sevens"]


@pytest.mark.parametrize("n", [0, 1])
def test_a_domain_needs_a_question_that_steers_and_one_that_judges(tmp_path: Path, n: int) -> None:
    write_inputs(tmp_path, None, n=3, n_heldout=4)
    held = read_records(tmp_path / "tasks/heldout.parquet", Prompt)
    sevens = [one for one in held if one.domain == "sevens"]
    write_records(tmp_path / "tasks/heldout.parquet", [one for one in held if one not in sevens[n:]])
    with pytest.raises(TeachableError, match="two are the least: one that steers training and one that judges it"):
        read(tmp_path)
    assert [domain.name for domain in read(tmp_path, "nines")] == ["nines"]
