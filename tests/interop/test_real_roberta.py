"""A published RoBERTa, of antibodies, is read and gives what transformers gives.

The package `sapiens` 1.0.5 (MIT) has two of 4 layers. Its own requirements, fairseq and an old
torch, are not needed: `pip install --no-deps sapiens==1.0.5`, which `make test` does. The weights
have fairseq's names and are converted as in transformers' own script for RoBERTa.
"""

from argparse import Namespace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import RobertaConfig, RobertaForMaskedLM

from clozekit.data.packing import Packing
from clozekit.interop.head_names import make_model
from clozekit.interop.transformers import load_transformers
from clozekit.models import EncoderWithHeads
from tests.models.models import logits_of

FOUND = find_spec("sapiens")
pytestmark = pytest.mark.skipif(
    FOUND is None, reason="the package sapiens is not installed; see the docstring of this file"
)
# The variable regions of the heavy and the light chain of trastuzumab, a humanized antibody.
CHAINS = {
    "vh": "EVQLVESGGGLVQPGGSLRLSCAASGFNIKDTYIHWVRQAPGKGLEWVARIYPTNGYTRYADSVKGRFTISADTSKNT"
    "AYLQMNSLRAEDTAVYYCSRWGGDGFYAMDYWGQGTLVTVSS",
    "vl": "DIQMTQSPSSLSASVGDRVTITCRASQDVNTAVAWYQQKPGKAPKLLIYSASFLYSGVPSRFSGSRSGTDFTLTISSL"
    "QPEDFATYYCQQHYTTPPTFGQGTKVEIK",
}
CLS, SEP, MASK = 0, 2, 24
LETTERS = "ACDEFGHIKLMNPQRSTVWY"
FIRST_LETTER = 4
TOLERANCE = 1e-5
IN_LAYER = {
    "attention.self.query": "self_attn.q_proj",
    "attention.self.key": "self_attn.k_proj",
    "attention.self.value": "self_attn.v_proj",
    "attention.output.dense": "self_attn.out_proj",
    "attention.output.LayerNorm": "self_attn_layer_norm",
    "intermediate.dense": "fc1",
    "output.dense": "fc2",
    "output.LayerNorm": "final_layer_norm",
}


def names_in_fairseq() -> dict[str, str]:
    """fairseq's name of every tensor of transformers."""
    encoder = "decoder.sentence_encoder"
    modules = {
        "roberta.embeddings.LayerNorm": f"{encoder}.emb_layer_norm",
        "lm_head.dense": "decoder.lm_head.dense",
        "lm_head.layer_norm": "decoder.lm_head.layer_norm",
    }
    for layer in range(4):
        block = f"roberta.encoder.layer.{layer}"
        for theirs, module in IN_LAYER.items():
            modules[f"{block}.{theirs}"] = f"{encoder}.layers.{layer}.{module}"
    names = {
        f"{theirs}.{kind}": f"{module}.{kind}"
        for theirs, module in modules.items()
        for kind in ("weight", "bias")
    }
    for kind, module in (("word", "embed_tokens"), ("position", "embed_positions")):
        names[f"roberta.embeddings.{kind}_embeddings.weight"] = f"{encoder}.{module}.weight"
    return names | {"lm_head.bias": "decoder.lm_head.bias"}


def write_folder(folder: Path, chain: str) -> RobertaForMaskedLM:
    assert FOUND is not None and FOUND.submodule_search_locations is not None
    (package,) = FOUND.submodule_search_locations
    with torch.serialization.safe_globals([Namespace]):
        file = Path(package) / "models" / "v1" / f"checkpoint_{chain}.pt"
        weights = torch.load(file, map_location="cpu", weights_only=True)["model"]
    assert torch.equal(
        weights["decoder.lm_head.weight"], weights["decoder.sentence_encoder.embed_tokens.weight"]
    )
    config = RobertaConfig(
        vocab_size=25,
        hidden_size=128,
        num_hidden_layers=4,
        num_attention_heads=8,
        intermediate_size=256,
        max_position_embeddings=len(weights["decoder.sentence_encoder.embed_positions.weight"]),
        type_vocab_size=1,
        layer_norm_eps=1e-5,
    )
    model = RobertaForMaskedLM(config).eval()
    theirs = {name: weights[of_fairseq] for name, of_fairseq in names_in_fairseq().items()}
    # fairseq has no segments.
    theirs["roberta.embeddings.token_type_embeddings.weight"] = torch.zeros(1, 128)
    left = model.load_state_dict(theirs, strict=False)
    assert left.unexpected_keys == []
    assert set(left.missing_keys) <= {"lm_head.decoder.weight", "lm_head.decoder.bias"}
    model.save_pretrained(folder)
    return model


@pytest.fixture(scope="module", params=CHAINS)
def models(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Any, EncoderWithHeads]:
    """A chain's letters, its model in transformers, and in clozekit."""
    folder = tmp_path_factory.mktemp("sapiens")
    theirs = write_folder(folder, request.param)
    pretrained = load_transformers(folder)
    assert pretrained.unused == () and pretrained.encoder.position_offset == 2
    ours = make_model(["masked_lm_head"], pretrained.encoder).eval()
    ours.load_state_dict(pretrained.weights)
    return CHAINS[request.param], theirs, ours


def ids_of(letters: str) -> list[int]:
    return [CLS, *(FIRST_LETTER + LETTERS.index(letter) for letter in letters), SEP]


def ours_of(model: EncoderWithHeads, sequences: list[list[int]]) -> Tensor:
    packing = Packing.from_lengths(np.array([len(ids) for ids in sequences]))
    return logits_of(model, torch.tensor([i for ids in sequences for i in ids]), None, packing)


def test_outputs_are_those_of_transformers(models: tuple[str, Any, EncoderWithHeads]) -> None:
    letters, theirs, ours = models
    longest = ours.encoder.config.longest_sequence
    # Two positions are not used, and there are two special tokens.
    assert longest == theirs.config.max_position_embeddings - 2
    letters = (letters + letters)[: longest - 2]
    lengths = (len(letters), 1, 60, 2, len(letters) - 1, 17)
    sequences = [ids_of(letters[:length]) for length in lengths]
    with torch.inference_mode():
        logits = ours_of(ours, sequences)
        expected = torch.cat([theirs(torch.tensor([ids])).logits[0] for ids in sequences])
    assert len(sequences[0]) == longest
    # Trained weights have logits of more than 10, whose last digits are larger.
    difference = float((logits - expected).abs().max())
    assert difference <= TOLERANCE * float(expected.abs().max())


def test_masked_letters_are_found(models: tuple[str, Any, EncoderWithHeads]) -> None:
    """The model knows human antibodies, so weights in a wrong place would show."""
    letters, _, ours = models
    ids = ids_of(letters)
    places = range(1, len(ids) - 1)
    sequences = [[MASK if i == place else each for i, each in enumerate(ids)] for place in places]
    with torch.inference_mode():
        logits = ours_of(ours, sequences).unflatten(0, (len(places), len(ids)))
    found = [int(logits[row, place].argmax()) == ids[place] for row, place in enumerate(places)]
    assert sum(found) / len(found) > 0.75
