"""What is remembered is bounded, forgets the oldest first, and is computed once by however many threads."""

import threading
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from waiting import wait

from lab.numerics import Remembered

KILO = np.zeros(125)  # 1000 bytes


def never():
    raise AssertionError("was computed again")


def test_the_same_key_is_computed_once():
    kept = Remembered(bytes=1000)
    assert kept.get(("data", 1), lambda: 5) == 5
    assert kept.get(("data", 1), never) == 5
    assert kept.get(("data", 2), lambda: 6) == 6


def test_bound_counts_the_arrays_of_a_tree_on_host_and_device():
    kept = Remembered(bytes=10_000)
    kept.get("a", lambda: {"host": KILO, "device": [jnp.zeros(250), None, "text"]})
    assert kept.used == 3000
    for k in range(20):
        kept.get(k, lambda: KILO)
        assert kept.used <= 10_000
    assert len(kept) == 10
    assert "a" not in kept


def test_least_recently_used_goes_first():
    kept = Remembered(bytes=3000)
    for key in "abc":
        kept.get(key, lambda: KILO)
    kept.get("a", never)
    kept.get("d", lambda: KILO)
    assert [key in kept for key in "abcd"] == [True, False, True, True]


def test_what_alone_is_over_the_bound_is_given_and_not_kept():
    kept = Remembered(bytes=1500)
    kept.get("small", lambda: KILO)
    assert kept.get("large", lambda: np.ones(1000)).sum() == 1000
    assert "large" not in kept
    assert "small" in kept


def test_clear():
    kept = Remembered(bytes=1500)
    kept.get("a", lambda: KILO)
    kept.clear()
    assert kept.used == len(kept) == 0
    assert kept.get("a", lambda: 3) == 3


def test_what_raises_is_not_kept():
    kept = Remembered(bytes=1500)
    with pytest.raises(ZeroDivisionError):
        kept.get("a", lambda: 1 / 0)
    assert "a" not in kept
    assert not kept._making
    assert kept.get("a", lambda: 2) == 2


def test_only_what_is_worth_it_is_kept():
    kept = Remembered(bytes=1500)
    assert kept.get("a", lambda: "stopped", worth=lambda value: value == "whole") == "stopped"
    assert kept.get("a", lambda: "whole", worth=lambda value: value == "whole") == "whole"
    assert kept.get("a", never) == "whole"


def test_what_is_traced_is_not_kept():
    kept = Remembered(bytes=1500)
    jax.jit(lambda x: kept.get("a", lambda: x + 1))(1.0)
    assert "a" not in kept


def test_a_part_may_ask_for_another_part():
    kept = Remembered(bytes=1500)
    assert kept.get("whole", lambda: 1 + kept.get("part", lambda: 2)) == 3
    assert "part" in kept
    assert "whole" in kept


def test_threads_that_ask_for_one_key_compute_it_once():
    kept, made = Remembered(bytes=1500), []

    def slow():
        made.append(threading.get_ident())
        wait(lambda: kept._making["a"].threads == 8)
        return object()

    with ThreadPoolExecutor(8) as pool:
        values = list(pool.map(lambda _: kept.get("a", slow), range(8)))
    assert len(made) == 1
    assert all(value is values[0] for value in values)
    assert not kept._making


def test_threads_that_wait_for_one_that_fails_compute_it_themselves():
    kept, made = Remembered(bytes=1500), []

    def first_fails():
        made.append(1)
        if len(made) == 1:
            wait(lambda: kept._making["a"].threads == 4)
            raise ValueError("the first")
        return 7

    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(kept.get, "a", first_fails) for _ in range(4)]
    failed = [one for one in asked if one.exception()]
    assert len(failed) == 1
    assert len(made) == 2
    assert {one.result() for one in asked if one not in failed} == {7}


def test_different_keys_do_not_wait_for_each_other():
    kept, meet = Remembered(bytes=1500), threading.Barrier(2, timeout=5)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda key: kept.get(key, meet.wait), "ab"))  # each is made while the other is


@pytest.mark.slow
def test_many_threads_and_keys_stay_within_the_bound():
    kept, random = Remembered(bytes=4000), np.random.default_rng(0)
    asked = [int(key) for key in random.integers(0, 12, 2000)]
    with ThreadPoolExecutor(8) as pool:
        values = list(pool.map(lambda key: kept.get(key, lambda: np.full(125, key)), asked))
    assert all(value[0] == key for value, key in zip(values, asked, strict=True))
    assert kept.used <= 4000
    assert not kept._making
