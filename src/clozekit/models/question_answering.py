"""The models that find an answer in a paragraph: by its ends, and by a tag for every token."""

from torch import Tensor, nn

from clozekit.config.encoder import EncoderConfig
from clozekit.data.batch import ANSWER_TAGS
from clozekit.data.packing import Packing
from clozekit.models.encoder import Encoder
from clozekit.models.heads import AnswerSpanHead, TokenClassificationHead


class QuestionAnsweringModel(nn.Module):
    """The encoder with scores for an answer's first and last token (section 4.2 of the paper).

    Args:
        config: The encoder's configuration.

    Raises:
        ValueError: If the configuration has no `vocab_size`.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.encoder = Encoder(config, add_pooling_layer=False)
        self.question_answering_head = AnswerSpanHead(config)

    def forward(self, input_ids: Tensor, token_type_ids: Tensor | None, packing: Packing) -> Tensor:
        """Scores the tokens of a packed batch.

        Args:
            input_ids: `[tokens]`.
            token_type_ids: `[tokens]`, the segment of every token; None where all are of segment 0.
            packing: Where each sequence lies.

        Returns:
            Logits `[tokens, 2]`: of being an answer's first token, and its last.

        Raises:
            ValueError: If a sequence is longer than `max_position_embeddings`.
        """
        sequence_output = self.encoder(input_ids, token_type_ids, packing=packing).sequence_output
        logits: Tensor = self.question_answering_head(sequence_output)
        return logits


class QuestionAnsweringBIOModel(nn.Module):
    """The encoder with one of `ANSWER_TAGS` for every token of the paragraph.

    Args:
        config: The encoder's configuration.
        dropout: The dropout of the tokens' vectors.

    Raises:
        ValueError: If the configuration has no `vocab_size`.
    """

    def __init__(self, config: EncoderConfig, dropout: float = 0.1) -> None:
        super().__init__()
        self.encoder = Encoder(config, add_pooling_layer=False)
        self.answer_tagging_head = TokenClassificationHead(config, len(ANSWER_TAGS), dropout)

    def forward(
        self,
        input_ids: Tensor,
        token_type_ids: Tensor | None,
        packing: Packing,
        positions: Tensor,
    ) -> Tensor:
        """Tags the paragraph's tokens of a packed batch.

        Args:
            input_ids: `[tokens]`.
            token_type_ids: `[tokens]`, the segment of every token; None where all are of segment 0.
            packing: Where each sequence lies.
            positions: `[targets]`, the places of the paragraphs' tokens among the packed tokens.

        Returns:
            Logits `[targets, 3]`, in the order of `ANSWER_TAGS`.

        Raises:
            ValueError: If a sequence is longer than `max_position_embeddings`.
        """
        sequence_output = self.encoder(input_ids, token_type_ids, packing=packing).sequence_output
        logits: Tensor = self.answer_tagging_head(sequence_output.index_select(0, positions))
        return logits
