"""Training phases: shares of the steps with their own lengths, masks, batches and mixtures."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import Field

from clozekit.config.groups import Closed
from clozekit.config.mixture import Weights
from clozekit.config.values import SHORTEST_SEQUENCE, Count

TOLERANCE = 1e-6
"""How far from 1 the sum of the ratios may be: 0.333333 three times is all steps."""


class FirstPhaseConfig(Closed):
    """The first phase of two-phase pretraining (Devlin et al., 2019, appendix A.2).

    Attributes:
        ratio: The length of the phase as a fraction of `max_steps`.
        max_seq_length: The maximum sample length in the phase.
        micro_batch_size: The maximum number of samples per forward pass in the phase.
    """

    ratio: float = Field(gt=0, lt=1)
    max_seq_length: int = Field(ge=SHORTEST_SEQUENCE)
    micro_batch_size: Count


class PhaseConfig(Closed):
    """A training phase. What it does not set is as in `data`.

    Attributes:
        ratio: The length of the phase as a fraction of `max_steps`.
        max_seq_length: The maximum sample length in the phase.
        masked_lm_prob: The fraction of tokens selected for prediction in the phase.
        global_batch_size: The number of samples per optimizer step in the phase.
        micro_batch_size: The maximum number of samples per forward pass in the phase.
        weights: The weights of sources of a mixture in the phase, by name; 0 for no samples.
    """

    ratio: float = Field(gt=0, le=1)
    max_seq_length: int | None = Field(None, ge=SHORTEST_SEQUENCE)
    masked_lm_prob: float | None = Field(None, gt=0, lt=1)
    global_batch_size: Count | None = None
    micro_batch_size: Count | None = None
    weights: Weights | None = None


@dataclass(frozen=True)
class PhaseSettings:
    """What holds in a phase, with the values of `data` for what it does not set.

    Attributes:
        key: The key of the phase in the configuration, for messages.
        ratio: The length of the phase as a fraction of `max_steps`.
        max_seq_length: The maximum number of tokens per sample.
        masked_lm_prob: The fraction of tokens selected for prediction; None without masks.
        global_batch_size: The number of samples per optimizer step.
        micro_batch_size: The maximum number of samples per forward pass.
        weights: The weight of each source of a mixture; empty without a mixture.
        begins_epoch: Whether the phase begins an epoch although its samples are as long as before.
    """

    key: str
    ratio: float
    max_seq_length: int
    masked_lm_prob: float | None
    global_batch_size: int
    micro_batch_size: int
    weights: Mapping[str, float] = field(default_factory=dict)
    begins_epoch: bool = False


@dataclass(frozen=True)
class PlannedPhase:
    """A phase of a run, with its steps.

    Attributes:
        number: The number of the phase, from 1.
        first_step: The index of its first step, from 0.
        num_steps: The number of its steps; 0 if the run is too short for the phase.
        settings: What holds in the phase.
    """

    number: int
    first_step: int
    num_steps: int
    settings: PhaseSettings

    def in_words(self) -> str:
        """Describes the phase for a summary."""
        settings = self.settings
        steps = (
            f"steps {self.first_step + 1:,} to {self.first_step + self.num_steps:,}"
            if self.num_steps
            else "no steps"
        )
        parts = [
            f"at most {settings.max_seq_length:,} tokens per sample",
            f"{settings.global_batch_size:,} samples per step in micro-batches of "
            f"{settings.micro_batch_size:,}",
        ]
        if settings.masked_lm_prob is not None:
            parts.append(f"{settings.masked_lm_prob:.4g} of the tokens masked")
        if settings.weights:
            parts.append(shares_in_words(settings.weights))
        return f"{steps}: {', '.join(parts)}"


def shares_in_words(weights: Mapping[str, float]) -> str:
    """Describes the shares of a mixture, such as `75.0% news, 25.0% mails`."""
    total = math.fsum(weights.values())
    return ", ".join(f"{weight / total:.1%} {name}" for name, weight in weights.items())


def planned(phases: Sequence[PhaseSettings], max_steps: int) -> list[PlannedPhase]:
    """Divides the steps of a run between its phases.

    A phase ends at the nearest step to the sum of the ratios up to it, so a step's phase follows
    from its index and `max_steps`.
    """
    # The sum of the ratios may be a little more than 1.
    shares = (math.fsum(p.ratio for p in phases[: n + 1]) for n in range(len(phases)))
    ends = [min(round(share * max_steps), max_steps) for share in shares]
    ends[-1] = max_steps
    begins = [0, *ends[:-1]]
    return [
        PlannedPhase(number, begin, end - begin, settings)
        for number, (begin, end, settings) in enumerate(zip(begins, ends, phases, strict=True), 1)
    ]


def check_ratios(phases: Sequence[PhaseConfig]) -> None:
    """Checks that the phases are all of the training.

    Raises:
        ValueError: They are not.
    """
    if not phases:
        raise ValueError("phases=[]: it should have at least one phase, or be null")
    total = math.fsum(phase.ratio for phase in phases)
    if abs(total - 1) > TOLERANCE:
        ratios = " + ".join(f"{phase.ratio:g}" for phase in phases)
        raise ValueError(
            f"phases: the ratios {ratios} add up to {total:.6g}, but they should add up to 1"
        )


def check_weights(phases: Sequence[PhaseConfig], sources: Mapping[str, float]) -> None:
    """Checks that the weights of phases are those of sources.

    Args:
        phases: The phases.
        sources: The weight of each source of the mixture; empty without a mixture.

    Raises:
        ValueError: A source is unknown, or a phase has no samples.
    """
    for index, phase in enumerate(phases):
        if phase.weights is None:
            continue
        key = f"phases.{index}.weights"
        if not sources:
            raise ValueError(
                f"{key} requires a mixture, but path is a single corpus; "
                "write path={name: {path: …, weight: …}, …}"
            )
        for name in phase.weights:
            if name not in sources:
                raise ValueError(
                    f"{key}.{name}: path has no source with this name; its sources are "
                    f"{', '.join(sources)}"
                )
        if not any({**sources, **phase.weights}.values()):
            raise ValueError(f"{key}: each source has the weight 0; at least one should be larger")
