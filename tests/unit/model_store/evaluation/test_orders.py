from __future__ import annotations

import pytest

from model_store.evaluation.groups import Group
from model_store.evaluation.orders import (
    Member,
    Order,
    likenesses,
    order_table,
    orders,
    statements,
)
from model_store.evaluation.papers import DNGAN, DRL, WGAN, PaperTable
from model_store.evaluation.trial import Trial


def _member(name: str, table: PaperTable, label: str, **scores: tuple[float, ...]) -> Member:
    """An arm with these scores, metric by metric, one an image."""
    count = len(next(iter(scores.values())))
    trials = [
        Trial("any", str(at), "PSNR", {"model": {key: found[at] for key, found in scores.items()}})
        for at in range(count)
    ]
    (group,) = Group.of(trials)
    return Member(name, group, table, label)


def _dngan(pdr: tuple[float, ...]) -> list[Order]:
    members = [
        _member("dngan-mse", DNGAN, "DNGAN-MSE", PSNR=(34.0, 36.0), PDR=(0.2, 0.2)),
        _member("dngan", DNGAN, "DNGAN", PSNR=(33.0, 34.0), PDR=pdr),
    ]
    return orders("Poisson noise, 24.15 dB", members)


def test_an_order_that_holds_and_one_that_does_not_are_stated() -> None:
    assert statements(_dngan((0.1, 0.2))) == [
        "PSNR: dngan-mse > dngan: holds (ours +1.50, published +2.09; on 2 of 2 images)",
        "PDR: dngan < dngan-mse: holds (ours -0.0500, published -0.0620; on 1 of 2 images)",
        "2 of 2 orders hold.",
    ]
    found = _dngan((0.3, 0.2))
    assert statements(found)[1:] == [
        "PDR: dngan < dngan-mse: does not hold (ours +0.0500, published -0.0620; on 0 of 2 images)",
        "1 of 2 orders hold.",
    ]
    assert [row[1:] for row in order_table(found)["rows"]] == [
        ["PSNR", "DNGAN-MSE", "DNGAN", 2.09, 1.5, None, "yes", "2 of 2"],
        ["PDR", "DNGAN", "DNGAN-MSE", -0.062, 0.05, None, "no", "0 of 2"],
    ]


def test_arms_that_are_equal_do_not_hold_an_order() -> None:
    for same in ((0.2, 0.2), (0.19999, 0.2)):
        assert "does not hold (ours +0.0000" in statements(_dngan(same))[1]


@pytest.mark.parametrize(
    ("second", "verdict", "count"),
    [
        (30.0, "holds under all 2 conditions", 1),
        (38.0, "holds under 1 of 2 conditions", 0),
    ],
)
def test_an_order_is_counted_over_the_conditions(second: float, verdict: str, count: int) -> None:
    found = []
    for condition, value in (("10 HU", 30.0), ("25 HU", second)):
        members = [
            _member("generator-mse", WGAN, "Generator-MSE", PSNR=(35.0,)),
            _member("wgan-vgg", WGAN, "WGAN-VGG", PSNR=(value,)),
        ]
        found += orders(condition, members)
    assert statements(found) == [
        f"PSNR: generator-mse > wgan-vgg: {verdict}",
        f"{count} of 1 orders hold.",
    ]


def test_what_the_publication_shows_as_pictures_has_an_order_without_figures() -> None:
    members = [
        _member("drl-b", DRL, "DRL, B", PSNR=(30.0,)),
        _member("drl-cascade-c", DRL, "cascade C", PSNR=(31.0,)),
    ]
    assert statements(orders("any", members))[0] == (
        "PSNR: drl-cascade-c > drl-b: holds (ours +1.00, no figure published; on 1 of 1 images)"
    )


def test_every_run_of_an_arm_has_its_own_order() -> None:
    members = [
        _member("dngan", DNGAN, "DNGAN", PSNR=(33.0,)),
        _member("dngan-mse", DNGAN, "DNGAN-MSE", PSNR=(34.0,)),
        _member("dngan-mse@1.0.0", DNGAN, "DNGAN-MSE", PSNR=(32.0,)),
    ]
    assert [line.partition(" (")[0] for line in statements(orders("any", members))] == [
        "PSNR: dngan-mse > dngan: holds",
        "PSNR: dngan-mse@1.0.0 > dngan: does not hold",
        "1 of 2 orders hold.",
    ]


def test_arms_of_no_common_table_have_no_order() -> None:
    members = [
        _member("dngan", DNGAN, "DNGAN", PSNR=(33.0,)),
        _member("wgan-vgg", WGAN, "WGAN-VGG", PSNR=(34.0,)),
    ]
    assert statements(orders("any", members)) == []


def test_images_that_disagree_leave_an_order_open() -> None:
    def found(*pdr: float) -> list[str]:
        members = [
            _member("dngan-mse", DNGAN, "DNGAN-MSE", PSNR=(9,) * len(pdr), PDR=(0.2,) * len(pdr)),
            _member("dngan", DNGAN, "DNGAN", PSNR=(8,) * len(pdr), PDR=pdr),
        ]
        return statements(orders("any", members))[1:]

    assert found(0.1, 0.3, 0.1, 0.32) == [
        "PDR: dngan < dngan-mse: open (ours +0.0050, -0.1000 to +0.1100, published -0.0620; on 2 "
        "of 4 images)",
        "1 of 2 orders hold, 1 cannot be told from chance.",
    ]
    assert "holds (ours -0.1000, -0.1000 to -0.1000" in found(0.1, 0.1, 0.1)[0]
    assert "does not hold (ours +0.1000" in found(0.3, 0.31, 0.29)[0]


@pytest.mark.parametrize(
    ("third", "word"),
    [
        ((30.02, 31.01, 32.03), "holds"),
        ((30.5, 31.6, 32.4), "does not hold"),
        ((30.0, 31.0, 32.5), "open"),
    ],
)
def test_a_third_level_is_negligible_or_not(third: tuple[float, ...], word: str) -> None:
    members = [
        _member("drl-cascade-c", DRL, "cascade C", PSNR=(30.0, 31.0, 32.0)),
        _member("drl-cascade-3", DRL, "cascade C, 3 levels", PSNR=third),
    ]
    (said,) = likenesses("any", members)
    assert said.startswith(f"PSNR: drl-cascade-3 is as drl-cascade-c within 0.1: {word} (ours +0")
    assert likenesses("any", members[:1]) == []
