"""The model of every task: an encoder, and heads that read its output."""

from torch import Tensor, nn

from clozekit.data.packing import Packing
from clozekit.models.encoder import EncoderOutput
from clozekit.models.encoder_protocol import EncoderProtocol
from clozekit.models.heads import (
    AnswerSpanHead,
    MaskedLMHead,
    NextSentenceHead,
    SequenceClassificationHead,
    TokenClassificationHead,
)
from clozekit.models.static_shapes import StaticEncoder


class EncoderWithHeads(nn.Module):
    """An encoder and its heads in one state dict.

    `forward` returns the encoder's output. The task applies the heads, because it knows at which
    positions it needs logits, or whether it only needs their cross-entropy.

        encoder = make_encoder(config)
        model = EncoderWithHeads(
            encoder, classification_head=SequenceClassificationHead(config, num_labels, dropout)
        )
        output = model(input_ids, token_type_ids, packing)
        logits = model.classification_head(output.pooled_output)

    Args:
        encoder: The encoder, a `torch.nn.Module`.
        **heads: The heads. The name of each is its attribute, and the prefix of its weights in the
            state dict.

    Attributes:
        static_encoder: Runs the encoder in training, if it is compiled for static shapes.
    """

    encoder: EncoderProtocol
    static_encoder: StaticEncoder | None
    # The names of clozekit's heads; a model has those that were passed to the constructor.
    masked_lm_head: MaskedLMHead
    next_sentence_head: NextSentenceHead
    classification_head: SequenceClassificationHead
    token_classification_head: TokenClassificationHead
    question_answering_head: AnswerSpanHead
    answer_tagging_head: TokenClassificationHead
    multiple_choice_head: SequenceClassificationHead

    def __init__(self, encoder: EncoderProtocol, **heads: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.static_encoder = None
        for name, head in heads.items():
            self.add_module(name, head)

    @property
    def heads(self) -> dict[str, nn.Module]:
        """The heads by name."""
        return {name: module for name, module in self.named_children() if name != "encoder"}

    def forward(
        self, input_ids: Tensor, token_type_ids: Tensor | None, packing: Packing
    ) -> EncoderOutput:
        """Encodes a packed batch.

        Args:
            input_ids: `[tokens]`.
            token_type_ids: `[tokens]`, the segment of every token; None if all are of segment 0.
            packing: The layout of the sequences.

        Returns:
            The input of the heads: `sequence_output` of `[tokens, hidden]` and `pooled_output` of
            `[batch, hidden]`.

        Raises:
            ValueError: If a sequence is longer than `max_position_embeddings`.
        """
        if self.static_encoder is not None and self.training:
            return self.static_encoder(input_ids, token_type_ids, packing)
        return self.encoder(input_ids, token_type_ids, packing=packing)
