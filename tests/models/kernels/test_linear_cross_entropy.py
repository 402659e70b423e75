"""The chunked cross-entropy against the plain one."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from clozekit.models.kernels import linear_cross_entropy as module
from clozekit.models.kernels.linear_cross_entropy import linear_cross_entropy


def tensors(targets: int, hidden: int, vocab: int, dtype: torch.dtype) -> tuple[Tensor, ...]:
    torch.manual_seed(targets)
    return (
        torch.randn(targets, hidden, dtype=dtype, requires_grad=True),
        torch.randn(vocab, hidden, dtype=dtype, requires_grad=True),
        torch.randn(vocab, dtype=dtype, requires_grad=True),
        torch.randint(0, vocab, (targets,)),
    )


def plain(hidden_states: Tensor, weight: Tensor, bias: Tensor, labels: Tensor) -> Tensor:
    logits = F.linear(hidden_states, weight, bias)
    return F.cross_entropy(
        logits.to(torch.promote_types(logits.dtype, torch.float32)), labels, reduction="sum"
    )


def gradients(loss: Tensor, of: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return torch.autograd.grad(loss * 0.37, of)


@settings(deadline=None, max_examples=40)
@given(targets=st.integers(0, 40), vocab=st.integers(2, 60), rows=st.integers(1, 50))
def test_chunks_of_any_size_are_the_whole(targets: int, vocab: int, rows: int) -> None:
    arguments = tensors(targets, 5, vocab, torch.float64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "LOGITS_AT_A_TIME", rows * vocab)
        ours = linear_cross_entropy(*arguments)
        expected = plain(*arguments)
        torch.testing.assert_close(ours.loss_sum, expected)
        logits = F.linear(*arguments[:3])
        assert ours.num_correct == (logits.argmax(-1) == arguments[3]).sum()
        torch.testing.assert_close(
            gradients(ours.loss_sum, arguments[:3]), gradients(expected, arguments[:3])
        )


def test_it_holds_in_float32_with_a_vocabulary_of_real_size() -> None:
    arguments = tensors(300, 16, 30522, torch.float32)
    ours, expected = linear_cross_entropy(*arguments), plain(*arguments)
    torch.testing.assert_close(ours.loss_sum, expected, rtol=1e-6, atol=0)
    torch.testing.assert_close(
        gradients(ours.loss_sum, arguments[:3]),
        gradients(expected, arguments[:3]),
        rtol=1e-5,
        atol=1e-5,
    )


def test_logits_too_large_for_exp_do_no_harm() -> None:
    hidden_states, weight, bias, labels = tensors(7, 5, 11, torch.float32)
    hidden_states = (hidden_states * 1e4).detach().requires_grad_()
    ours = linear_cross_entropy(hidden_states, weight, bias, labels)
    torch.testing.assert_close(ours.loss_sum, plain(hidden_states, weight, bias, labels))
    assert all(g.isfinite().all() for g in gradients(ours.loss_sum, (hidden_states, weight, bias)))


def test_without_gradients_the_sums_are_the_same() -> None:
    arguments = tensors(30, 5, 11, torch.float32)
    with torch.no_grad():
        ours = linear_cross_entropy(*arguments)
    assert not ours.loss_sum.requires_grad
    torch.testing.assert_close(ours.loss_sum, plain(*arguments))


def test_under_autocast_products_are_in_half_precision_and_sums_are_not() -> None:
    arguments = tensors(50, 32, 100, torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        ours, expected = linear_cross_entropy(*arguments), plain(*arguments)
    assert ours.loss_sum.dtype == torch.float32
    torch.testing.assert_close(ours.loss_sum, expected, rtol=1e-3, atol=0)
    for mine, theirs in zip(
        gradients(ours.loss_sum, arguments[:3]), gradients(expected, arguments[:3]), strict=True
    ):
        assert mine.dtype == torch.float32
        torch.testing.assert_close(mine, theirs, rtol=0.02, atol=0.02 * float(theirs.abs().max()))


def test_weights_of_half_precision_have_gradients_of_theirs() -> None:
    arguments = tensors(50, 32, 100, torch.bfloat16)
    ours = linear_cross_entropy(*arguments)
    assert ours.loss_sum.dtype == torch.float32
    torch.testing.assert_close(ours.loss_sum, plain(*arguments), rtol=1e-3, atol=0)
    assert {g.dtype for g in gradients(ours.loss_sum, arguments[:3])} == {torch.bfloat16}


def test_float16_goes_by_the_plain_way_for_the_sake_of_the_loss_scale() -> None:
    arguments = tensors(50, 32, 100, torch.float16)
    ours = linear_cross_entropy(*arguments)
    assert torch.equal(ours.loss_sum, plain(*arguments))


def test_a_second_backward_is_refused() -> None:
    arguments = tensors(3, 5, 11, torch.float32)
    loss = linear_cross_entropy(*arguments).loss_sum
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="backward can only run once"):
        loss.backward()


def test_chunks_are_few_and_alike() -> None:
    assert module._chunks(0, 5) == []
    assert module._chunks(11, 5) == [slice(0, 3), slice(3, 7), slice(7, 11)]
