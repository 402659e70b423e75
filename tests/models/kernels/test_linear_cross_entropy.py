"""The chunked cross-entropy against the plain one."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from clozekit.models.kernels import linear_cross_entropy as module
from clozekit.models.kernels import softmax_gradient
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


KERNELS = (
    softmax_gradient.in_place,
    softmax_gradient.in_few_passes,
    softmax_gradient.without_overwriting,
)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(
    "dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16], ids=str
)
@pytest.mark.parametrize("scale", [1.0, 300.0])
def test_every_way_to_the_gradient_is_near_the_exact_one(
    device: torch.device, kernel: softmax_gradient.Kernel, dtype: torch.dtype, scale: float
) -> None:
    torch.manual_seed(0)
    logits = (torch.randn(33, 1001) * scale).to(dtype)
    labels = torch.randint(0, 1001, (33,))
    labels[::3] = logits[::3].argmax(-1)
    exact = logits.double().requires_grad_()
    loss = F.cross_entropy(exact, labels, reduction="sum")
    (gradient,) = torch.autograd.grad(loss, exact)
    wanted = labels[:, None].to(device)
    sums = kernel(logits.to(device, copy=True), wanted, True)
    wide = torch.promote_types(dtype, torch.float32)
    assert sums.of_logits is not None and sums.of_bias is not None
    assert sums.loss_sum.dtype == sums.of_bias.dtype == wide and sums.of_logits.dtype == dtype
    eps, wide_eps = torch.finfo(dtype).eps, torch.finfo(wide).eps
    # Logits of one row differ by up to eight standard deviations, each with an error of its own.
    tolerance = 8 * scale * wide_eps
    assert sums.loss_sum.item() == pytest.approx(loss.item(), rel=1e3 * wide_eps)
    # The last two of each row may be equal after rounding to half precision.
    assert abs(sums.num_correct.item() - 11) <= (0 if dtype == wide else 3)
    of_logits, of_bias = sums.of_logits.cpu().double(), sums.of_bias.cpu().double()
    torch.testing.assert_close(of_logits, gradient, rtol=eps, atol=10 * tolerance)
    torch.testing.assert_close(of_bias, gradient.sum(0), rtol=1e-3, atol=100 * tolerance)
    no_gradient = kernel(logits.to(device, copy=True), wanted, False)
    assert no_gradient.of_logits is None and no_gradient.of_bias is None
    assert torch.equal(no_gradient.num_correct, sums.num_correct)
    torch.testing.assert_close(no_gradient.loss_sum, sums.loss_sum)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("is_compiled", [False, True])
def test_on_a_device_in_chunks_it_is_near_the_exact_loss(
    device: torch.device, dtype: torch.dtype, is_compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the CPU the ways of the GPU are used, and what would be compiled is not."""
    if device.type == "cpu":
        kernels = {True: softmax_gradient.without_overwriting, False: KERNELS[1]}
        monkeypatch.setattr(module, "kernel_for", lambda _, compiled: kernels[compiled])
    monkeypatch.setattr(module, "LOGITS_AT_A_TIME", 16 * 501)
    monkeypatch.setattr(module, "LOGITS_AT_A_TIME_ON_GPU", 16 * 501)
    arguments = tensors(50, 24, 501, torch.float32)
    exact = [x.detach().to(dtype).double().requires_grad_() for x in arguments[:3]]
    expected = plain(*exact, arguments[3])
    of_exact = gradients(expected, tuple(exact))
    ours = [x.detach().to(device).requires_grad_() for x in arguments[:3]]
    with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
        sums = linear_cross_entropy(*ours, arguments[3].to(device), is_compiled=is_compiled)
    assert sums.loss_sum.dtype == torch.float32 and sums.loss_sum.device.type == device.type
    eps = torch.finfo(dtype).eps
    torch.testing.assert_close(sums.loss_sum.cpu().double(), expected, rtol=eps, atol=0)
    for mine, theirs in zip(gradients(sums.loss_sum, tuple(ours)), of_exact, strict=True):
        assert mine.dtype == torch.float32
        # The logits' rounding is several times that of their softmax, whose logarithm they are.
        tolerance = 16 * eps * float(theirs.abs().max())
        torch.testing.assert_close(mine.cpu().double(), theirs, rtol=0, atol=tolerance)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("is_compiled", [False, True])
def test_the_host_does_not_wait_for_a_gpu(is_compiled: bool) -> None:
    arguments = tensors(300, 16, 1000, torch.bfloat16)
    *parameters, labels = (x.detach().cuda() for x in arguments)
    for parameter in parameters:
        parameter.requires_grad_()
    for mode in ("default", "error"):  # the first run compiles
        torch.cuda.set_sync_debug_mode(mode)
        try:
            loss = linear_cross_entropy(*parameters, labels, is_compiled=is_compiled).loss_sum
            torch.autograd.grad(loss, parameters)
        finally:
            torch.cuda.set_sync_debug_mode("default")


def test_the_way_follows_from_the_device() -> None:
    cpu, gpu = torch.device("cpu"), torch.device("cuda", 0)
    assert softmax_gradient.kernel_for(cpu, True) is softmax_gradient.in_place
    assert softmax_gradient.kernel_for(gpu, False) is softmax_gradient.in_few_passes
    assert softmax_gradient.kernel_for(gpu, True) is softmax_gradient.compiled()


def test_what_is_compiled_has_one_graph() -> None:
    kernel = torch.compile(softmax_gradient.without_overwriting, fullgraph=True, backend="eager")
    for rows in (5, 7, 9):
        logits, labels = torch.randn(rows, 31), torch.randint(0, 31, (rows, 1))
        for needs_gradient in (True, False):
            expected = softmax_gradient.without_overwriting(logits, labels, needs_gradient)
            torch.testing.assert_close(kernel(logits, labels, needs_gradient), expected)
