from __future__ import annotations

import pytest
import torch
from torch import Tensor

from model_store.errors import RecipeError
from model_store.export import fold_norm
from model_store.generators.cnn10 import Cnn10, Cnn10Config
from model_store.generators.drl import Drl, DrlConfig
from model_store.generators.drl_cascade import DrlCascade, DrlCascadeConfig
from tests.unit.model_store.generators.networks import randomised


class Oracle(Drl):
    """A difference network that knows the truth: f(Yhat) = Yhat - Y."""

    def __init__(self, truth: Tensor) -> None:
        super().__init__(DrlConfig(4))
        self.truth = truth

    def residual(self, x: Tensor) -> Tensor:
        return x - self.truth


def _cascade(levels: int = 2, *, blend: float = 1.0, stack_input: bool = False) -> DrlCascade:
    cascade = DrlCascade(DrlCascadeConfig(4, levels, blend, stack_input))
    randomised(cascade)
    return cascade


@pytest.mark.parametrize("levels", [2, 3])
def test_with_an_oracle_as_last_level_the_output_is_the_truth(levels: int) -> None:
    cascade = _cascade(levels)
    truth, noisy = torch.rand(2, 2, 1, 24, 24, dtype=torch.float64)
    cascade.levels[-1] = Oracle(truth)
    with torch.no_grad():
        torch.testing.assert_close(cascade.eval()(noisy), truth, rtol=0, atol=1e-12)


def test_levels_are_applied_one_to_the_output_of_the_other() -> None:
    cascade = _cascade(3)
    x = torch.rand(1, 1, 24, 24, dtype=torch.float64)
    one, two, three = (level for level in cascade.levels if isinstance(level, Drl))
    with torch.no_grad():
        image = one(x)
        image = image - two.residual(image)
        image = image - three.residual(image)
        torch.testing.assert_close(cascade(x), image, rtol=0, atol=1e-12)


def test_stacked_levels_see_the_input_too() -> None:
    cascade = _cascade(stack_input=True)
    x = torch.rand(1, 1, 24, 24, dtype=torch.float64)
    one, two = (level for level in cascade.levels if isinstance(level, Drl))
    with torch.no_grad():
        image = one(x)
        expected = image - two.residual(torch.cat([image, x], dim=1))
        torch.testing.assert_close(cascade(x), expected, rtol=0, atol=1e-12)


def test_a_blend_of_0_7_is_0_3_of_the_input_and_0_7_of_the_prediction() -> None:
    cascade, blended = _cascade(), _cascade(blend=0.7)
    x = torch.rand(1, 1, 24, 24, dtype=torch.float64)
    with torch.no_grad():
        prediction = cascade(x)
        torch.testing.assert_close(blended(x), 0.3 * x + 0.7 * prediction, rtol=0, atol=1e-12)


def test_training_is_not_through_the_blend() -> None:
    plain, blended = _cascade().train(), _cascade(blend=0.7).train()
    x = torch.rand(2, 1, 24, 24, dtype=torch.float64)
    with torch.no_grad():
        assert torch.equal(plain(x), blended(x))


def test_only_the_last_level_learns() -> None:
    cascade = _cascade(3).train()
    before = {key: value.clone() for key, value in cascade.state_dict().items()}
    trained = dict(cascade.trained_parameters())
    assert trained.keys() == {f"levels.2.{key}" for key, _ in Drl(DrlConfig(4)).named_parameters()}
    optimiser = torch.optim.Adam(trained.values(), lr=0.1)
    cascade(torch.rand(2, 1, 24, 24, dtype=torch.float64)).square().mean().backward()
    assert {key for key, value in cascade.named_parameters() if value.grad is not None} == set(
        trained
    )
    optimiser.step()
    changed = {
        key.split(".")[1]
        for key, value in cascade.state_dict().items()
        if not torch.equal(value, before[key])
    }
    assert changed == {"2"}
    assert [level.training for level in cascade.levels] == [False, False, True]
    assert not any(level.training for level in cascade.eval().levels)


def test_a_new_level_on_a_trained_drl_changes_nothing_yet() -> None:
    torch.manual_seed(1)
    drl = randomised(Drl(DrlConfig(4))).float()
    cascade = DrlCascade(DrlCascadeConfig(4))
    cascade.adopt(drl.state_dict())
    x = torch.rand(1, 1, 20, 20)
    with torch.no_grad():
        torch.testing.assert_close(cascade(x), drl(x), rtol=0, atol=1e-6)


@pytest.mark.parametrize("stack_input", [False, True])
def test_three_levels_start_from_two(stack_input: bool) -> None:
    two = _cascade(stack_input=stack_input).float().eval()
    three = DrlCascade(DrlCascadeConfig(4, 3, 1.0, stack_input)).eval()
    three.adopt(two.state_dict())
    x = torch.rand(1, 1, 20, 20)
    with torch.no_grad():
        torch.testing.assert_close(three(x), two(x), rtol=0, atol=1e-6)


def test_a_cnn10_starts_from_what_the_level_before_it_left() -> None:
    torch.manual_seed(1)
    drl, cnn10 = Drl(DrlConfig(4)), Cnn10(Cnn10Config(4))
    x = torch.rand(1, 1, 20, 20)
    shapes = (
        (DrlCascadeConfig(4, further="cnn10"), randomised(drl).float()),
        (DrlCascadeConfig(4, 2, 1.0, True, "cnn10", "cnn10"), randomised(cnn10).float()),
    )
    for shape, first in shapes:
        cascade = DrlCascade(shape).eval()
        cascade.adopt(first.state_dict())
        with torch.no_grad():
            torch.testing.assert_close(cascade(x), first(x), rtol=0, atol=1e-6)
        assert isinstance(cascade.levels[1], Cnn10)
        assert {name.split(".")[1] for name, _ in cascade.trained_parameters()} == {"1"}
    with pytest.raises(RecipeError, match=r"0\.first\.weight is missing"):
        DrlCascade(DrlCascadeConfig(4, first="cnn10")).adopt(drl.state_dict())


def test_a_cascade_goes_on_from_one_of_as_many_levels() -> None:
    one, other = _cascade(), _cascade()
    randomised(other, seed=9)
    other.adopt(one.state_dict())
    assert all(
        torch.equal(value, other.state_dict()[key]) for key, value in one.state_dict().items()
    )


def test_weights_of_another_cascade_are_refused() -> None:
    three = _cascade(3)
    with pytest.raises(RecipeError, match=r"starts from one of 2 .* not of 1"):
        three.adopt(Drl(DrlConfig(4)).state_dict())
    with pytest.raises(RecipeError, match=r"1\.conv1\.weight is \[4, 2, 5, 5\]"):
        three.adopt(_cascade(stack_input=True).state_dict())
    with pytest.raises(RecipeError, match=r"0\.conv1\.weight is \[5, 1, 5, 5\]"):
        _cascade().adopt(Drl(DrlConfig(5)).state_dict())
    with pytest.raises(RecipeError, match="levels"):
        _cascade().adopt(_cascade(3).state_dict())


def test_folding_the_norms_keeps_the_output() -> None:
    cascade = _cascade().train()
    for level in cascade.levels:
        level.train()  # statistics other than 0 and 1
    x = torch.rand(2, 1, 24, 24, dtype=torch.float64)
    with torch.no_grad():
        for _ in range(3):
            cascade(x)
        cascade.eval()
        expected = cascade(x)
        folded = fold_norm(cascade)
        torch.testing.assert_close(folded(x), expected, rtol=0, atol=1e-10)
    assert not any(isinstance(layer, torch.nn.BatchNorm2d) for layer in folded.modules())
