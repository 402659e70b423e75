"""The BERT encoder and its heads. Their only dependency besides clozekit is torch.

All docstrings of clozekit use these names for shapes:

    batch         number of sequences in a batch
    seq_len       length of the padded form, which is the length of the longest sequence
    tokens        number of tokens in a packed batch, without padding (see `data.packing`)
    hidden        width of a token's vector, `hidden_size`
    heads         number of attention heads of a block, `num_attention_heads`
    head_dim      width of one head, `hidden_size / num_attention_heads`
    intermediate  width of the feed-forward layer, `intermediate_size`
    vocab         number of token ids, `vocab_size`
    targets       number of tokens with a loss: masked tokens, words or tokens of a paragraph
    labels        number of classes of a task

Keys of a state dict are part of a checkpoint's format. `Encoder` has

    embeddings.{token_embeddings,position_embeddings,token_type_embeddings}.weight
    embeddings.layer_norm.{weight,bias}
    blocks.N.attention.{qkv,output}.{weight,bias}
    blocks.N.attention_norm.{weight,bias}
    blocks.N.feed_forward.{intermediate,output}.{weight,bias}
    blocks.N.feed_forward_norm.{weight,bias}
    pooler.{weight,bias}

or, with other parts than BERT's, fewer of these, and `embeddings.projection`, `final_norm` and
`pooler.{dense,norm}`.

The rows of `qkv` are those of the query, the key and the value, in that order. In an
`EncoderWithHeads` these keys start with `encoder.`, and its heads add:

    masked_lm_head.dense.{weight,bias}
    masked_lm_head.layer_norm.{weight,bias}
    masked_lm_head.bias
    next_sentence_head.seq_relationship.{weight,bias}
    classification_head.classifier.{weight,bias}
    token_classification_head.classifier.{weight,bias}
    question_answering_head.outputs.{weight,bias}
    answer_tagging_head.classifier.{weight,bias}
    multiple_choice_head.classifier.{weight,bias}
"""

from clozekit.models.encoder import Encoder, EncoderOutput
from clozekit.models.encoder_class import make_encoder
from clozekit.models.encoder_protocol import EncoderProtocol
from clozekit.models.encoder_with_heads import EncoderWithHeads
from clozekit.models.heads import (
    AnswerSpanHead,
    MaskedLMHead,
    NextSentenceHead,
    SequenceClassificationHead,
    TokenClassificationHead,
)
from clozekit.models.initialization import init_weights

__all__ = [
    "AnswerSpanHead",
    "Encoder",
    "EncoderOutput",
    "EncoderProtocol",
    "EncoderWithHeads",
    "MaskedLMHead",
    "NextSentenceHead",
    "SequenceClassificationHead",
    "TokenClassificationHead",
    "init_weights",
    "make_encoder",
]
