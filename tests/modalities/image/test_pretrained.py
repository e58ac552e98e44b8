"""Pretrained backbones: what is opened and what is refused, and what is made of them."""

import dataclasses
import hashlib
import http.server
import json
import logging
import re
import subprocess
import sys
import threading
import warnings
from itertools import pairwise

import numpy as np
import onnxruntime
import pytest
import safetensors.torch
import torch
from PIL import Image
from tests.checkpoints import ARCHITECTURES, checkpoint, configured

from mintage.core.errors import ConfigError, DependencyDown
from mintage.create.export import check_parity, onnx_bytes
from mintage.create.recipe import Candidate
from mintage.modalities import hub
from mintage.modalities.image import pretrained
from mintage.modalities.image.networks import channels_last


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """One checkpoint of each architecture."""
    folder = tmp_path_factory.mktemp("checkpoints")
    return {name: checkpoint(name, folder / name) for name in ARCHITECTURES}


@pytest.fixture
def resnet(tmp_path):
    """A checkpoint to spoil."""
    return checkpoint("resnet", tmp_path / "resnet")


def candidate_for(found):
    return Candidate(
        name="hub",
        network="hub",
        weights=found.weights,
        input_size=found.input_size,
        initialisation="he_normal",
        mean=found.mean,
        deviation=found.deviation,
    )


def pictures(side, count=5):
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3)).astype(np.uint8)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_checkpoint_says_what_it_is_and_what_it_takes(name, folders):
    found = pretrained.describe(str(folders[name]))
    data = (folders[name] / "model.safetensors").read_bytes()
    tensors = safetensors.torch.load(data)
    assert found == pretrained.Pretrained(
        weights=str(folders[name]),
        architecture=name,
        input_size=ARCHITECTURES[name][2],
        mean=(0.4, 0.5, 0.6),
        deviation=(0.2, 0.25, 0.3),
        blue_first=False,
        parameters=sum(each.numel() for each in tensors.values()),
        digest=hashlib.sha256(data).hexdigest(),
        revision=None,
        licence=None,
    )


@pytest.mark.parametrize("name", [name for name in ARCHITECTURES if not name.startswith("dino")])
def test_the_new_layer_reads_what_the_old_one_read(name, folders):
    network = pretrained.build(str(folders[name]), 5).eval()
    theirs = configured(name)
    old = [each for each in theirs.classifier.modules() if isinstance(each, torch.nn.Linear)][-1]
    with torch.no_grad():
        network.output.weight.copy_(old.weight)
        network.output.bias.copy_(old.bias)
        pixels = torch.randn(3, 3, network.pretrained.input_size, network.pretrained.input_size)
        torch.testing.assert_close(network(pixels), theirs(pixels).logits, rtol=1e-5, atol=1e-5)


def test_a_backbone_that_never_classified_gives_the_mean_of_its_last_maps(folders):
    network = pretrained.build(str(folders["dinov3_convnext"]), 3).eval()
    theirs = hub.transformers().DINOv3ConvNextBackbone.from_pretrained(folders["dinov3_convnext"])
    pixels = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        (pooled,) = network.layers(pixels)
        maps = theirs.eval()(pixels).feature_maps[-1]
    assert maps.ndim == 4
    torch.testing.assert_close(pooled, maps.mean(dim=(2, 3)), rtol=1e-5, atol=1e-5)


def test_dinov2_gives_its_class_token_and_the_mean_of_the_others(folders):
    network = pretrained.build(str(folders["dinov2"]), 3).eval()
    pixels = torch.randn(2, 3, 56, 56)
    with torch.no_grad():
        (pooled,) = network.layers(pixels)
        tokens = configured("dinov2")(pixels).last_hidden_state
    expected = torch.cat([tokens[:, 0], tokens[:, 1:].mean(dim=1)], dim=1)
    torch.testing.assert_close(pooled, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_export_agrees_for_any_number_of_pictures(name, folders):
    found = pretrained.describe(str(folders[name]))
    network = pretrained.build(str(folders[name]), 3).eval()
    torch.nn.init.normal_(network.output.weight, generator=torch.Generator().manual_seed(0))
    candidate = candidate_for(found)
    data = onnx_bytes(network, candidate)
    shown = pictures(found.input_size, 7)
    for batch in (1, 3, 7):
        assert check_parity(data, network, candidate, shown, batch=batch) < 1e-4
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    logits, features = session.run(None, {"pixels": shown})
    assert logits.shape == (7, 3)
    assert features.shape == (7, min(network.output.in_features, 384) + 40)
    assert np.isfinite(features).all()
    assert np.ptp(logits, axis=0).min() > 1e-3  # else agreement would prove nothing


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_it_learns_in_bfloat16_and_channels_last_and_its_first_layers_less(name, folders):
    network = pretrained.build(str(folders[name]), 2)
    channels_last(network)
    side = network.pretrained.input_size
    pixels = torch.randn(8, 3, side, side, generator=torch.Generator().manual_seed(0))
    pixels = pixels.contiguous(memory_format=torch.channels_last)
    labels = torch.tensor([0.0, 1.0] * 4)
    groups = [{"params": group, "lr": 0.01 * part} for group, part in network.rate_groups(0.1)]
    optimiser = torch.optim.SGD(groups)
    losses = []
    for _ in range(8):
        with torch.autocast("cpu", torch.bfloat16):
            logits = network(pixels)
        assert logits.dtype == torch.float32
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits[:, 0], labels)
        torch.autograd.backward(loss)
        optimiser.step()
        optimiser.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_rates_rise_from_the_first_layers_to_the_new_one(name, folders):
    network = pretrained.build(str(folders[name]), 3)
    groups = network.rate_groups(0.01)
    shares = [share for _, share in groups]
    assert shares[0] == pytest.approx(0.01)
    assert shares[-1] == 1
    assert len(shares) >= 4
    assert np.ptp(np.diff(np.log(shares))) < 1e-9  # by the same factor
    together = [each for group, _ in groups for each in group]
    assert len(together) == len(set(map(id, together)))
    assert set(map(id, together)) == set(map(id, network.parameters()))
    first = next(iter(network.body.parameters()))
    assert any(each is first for each in groups[0][0])
    assert {id(each) for each in groups[-1][0]} == {
        id(each) for each in network.output.parameters()
    }
    assert [share for _, share in network.rate_groups(0)] == [0] * (len(groups) - 1) + [1]


def test_features_of_a_wide_backbone_keep_their_distances():
    matrix = pretrained.projection(1280)
    points = torch.randn(20, 1280, generator=torch.Generator().manual_seed(1))
    kept = torch.pdist(points @ matrix) / torch.pdist(points)
    assert kept.min().item() > 0.85
    assert kept.max().item() < 1.15
    assert torch.equal(matrix, pretrained.projection(1280))


def test_a_new_network_depends_on_no_seed_and_changes_none(folders):
    torch.manual_seed(5)
    expected = torch.rand(4)
    torch.manual_seed(5)
    first = pretrained.build(str(folders["resnet"]), 2)
    assert torch.equal(torch.rand(4), expected)
    second = pretrained.build(str(folders["resnet"]), 2).state_dict()
    assert all(torch.equal(each, second[name]) for name, each in first.state_dict().items())


def test_dropout_is_the_candidates_and_not_the_checkpoints(folders):
    assert configured("mobilenet_v2").dropout.p == 0.8
    network = pretrained.build(str(folders["mobilenet_v2"]), 2, dropout=0.3)
    assert network.dropout.p == 0.3
    assert network.body.dropout.p == 0


PROCESSORS = {
    "ordinary": {},
    "halves": {"image_mean": [0.5] * 3, "image_std": [0.5] * 3},
    "plain": {"do_normalize": False},
    "already": {"do_rescale": False, "image_mean": [120, 110, 100], "image_std": [50, 60, 70]},
    "other factor": {"rescale_factor": 1 / 127.5},
}


@pytest.mark.parametrize("options", PROCESSORS.values(), ids=PROCESSORS)
def test_pixels_are_scaled_as_transformers_scales_them(options, tmp_path):
    folder = checkpoint("vit", tmp_path / "vit", **options)
    found = pretrained.describe(str(folder))
    processor = hub.transformers().ViTImageProcessorPil.from_pretrained(folder)
    shown = pictures(32, 1)[0]
    expected = processor(Image.fromarray(shown), return_tensors="np")["pixel_values"][0]
    ours = (shown / 255 - np.array(found.mean)) / np.array(found.deviation)
    np.testing.assert_allclose(ours.transpose(2, 0, 1), expected, rtol=1e-4, atol=1e-4)


def test_pixels_of_efficientnet_are_moved_by_one(tmp_path):
    options = {"rescale_factor": 1 / 127.5, "rescale_offset": True, "do_normalize": False}
    found = pretrained.describe(str(checkpoint("vit", tmp_path / "vit", **options)))
    np.testing.assert_allclose((np.array([0, 127.5, 255]) / 255 - 0.5) / 0.5, [-1, 0, 1])
    assert found.mean == pytest.approx((0.5, 0.5, 0.5))
    assert found.deviation == pytest.approx((0.5, 0.5, 0.5))


def test_a_network_that_wants_blue_first_gets_it(tmp_path):
    ours = pretrained.build(str(checkpoint("vit", tmp_path / "a")), 2).eval()
    other = checkpoint("vit", tmp_path / "b", do_flip_channel_order=True)
    flipped = pretrained.build(str(other), 2).eval()
    pixels = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(flipped.layers(pixels)[0], ours.layers(pixels.flip(1))[0])
        assert not torch.allclose(flipped.layers(pixels)[0], ours.layers(pixels)[0])


@pytest.mark.parametrize(
    ("processor", "side"),
    [
        ({"size": 224}, 224),
        ({"size": {"shortest_edge": 256}, "crop_size": {"height": 224, "width": 224}}, 224),
        ({"size": {"shortest_edge": 256}, "crop_size": 240, "do_center_crop": False}, 256),
        ({"size": {"longest_edge": 96, "shortest_edge": 80}}, 80),
        ({"size": None}, 224),  # said by nobody
    ],
)
def test_the_side_is_that_of_the_picture_that_goes_in(processor, side, resnet):
    document = json.loads((resnet / "preprocessor_config.json").read_text())
    (resnet / "preprocessor_config.json").write_text(json.dumps({**document, **processor}))
    assert pretrained.describe(str(resnet)).input_size == side


def test_without_a_picture_processor_imagenets_scale_and_the_configurations_side_hold(tmp_path):
    folder = checkpoint("vit", tmp_path / "vit")
    (folder / "preprocessor_config.json").unlink()
    found = pretrained.describe(str(folder))
    assert (found.input_size, found.mean) == (32, (0.485, 0.456, 0.406))


# Lists of lists: a few lines whose text would have 2 to the 25th words.
BOMB = [f"{b}: &{b} [*{a}, *{a}]" for a, b in pairwise("abcdefghijklmnopqrstuvwxyz")]


@pytest.mark.parametrize(
    ("front", "licence"),
    [
        ("license: apache-2.0", "apache-2.0"),
        ("license: other\nlicense_name: shop-only", "shop-only"),
        ("license:\n- mit\n- cc0-1.0", "mit, cc0-1.0"),
        ("tags: [vision]", None),
        ("license: [unclosed", None),
        ("license: [[mit]]", None),
        ("\n".join(["a: &a [x, x]", *BOMB, "license: *z"]), None),
        ("license: " + "x" * 5000, "x" * 200),
    ],
)
def test_the_licence_is_the_one_that_the_readme_names(front, licence, resnet):
    (resnet / "README.md").write_text(f"---\n{front}\n---\n# A network\n")
    assert pretrained.describe(str(resnet)).licence == licence


def test_weights_in_several_files_are_one_checkpoint(tmp_path):
    network = configured("resnet")
    network.save_pretrained(tmp_path / "many", max_shard_size="15KB")
    folder = tmp_path / "many"
    files = sorted(folder.glob("model-*.safetensors"))
    assert len(files) > 1
    found = pretrained.describe(str(folder))
    lines = subprocess.run(
        ["sha256sum", *(each.name for each in files)], cwd=folder, capture_output=True, check=True
    ).stdout
    assert found.digest == hashlib.sha256(lines).hexdigest()
    assert (
        found.parameters
        == pretrained.describe(str(checkpoint("resnet", tmp_path / "one"))).parameters
    )
    pretrained.build(str(folder), 2)
    files[0].unlink()
    with pytest.raises(ConfigError, match="not every file"):
        pretrained.describe(str(folder))


def test_an_index_cannot_name_files_elsewhere(resnet, tmp_path):
    (resnet / "model.safetensors").rename(tmp_path / "outside.safetensors")
    index = {"weight_map": {"a": "../outside.safetensors"}}
    (resnet / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ConfigError, match="not every file"):
        pretrained.describe(str(resnet))


def test_pickled_weights_are_refused_and_never_opened(resnet, tmp_path):
    (resnet / "model.safetensors").unlink()
    ran = tmp_path / "ran"
    # What unpickling this would do is to make a file.
    code = f"cbuiltins\nopen\n(S'{ran}'\nS'w'\ntR.".encode()
    (resnet / "pytorch_model.bin").write_bytes(code)
    with pytest.raises(ConfigError, match=r"pytorch_model\.bin.*safetensors"):
        pretrained.build(str(resnet), 2)
    assert not ran.exists()


def test_code_that_comes_with_a_checkpoint_is_never_run(resnet, tmp_path):
    ran = tmp_path / "ran"
    (resnet / "modeling.py").write_text(f"open({str(ran)!r}, 'w')\n")
    document = json.loads((resnet / "config.json").read_text())
    document |= {
        "model_type": "homemade",
        "auto_map": {
            "AutoConfig": "modeling.HomemadeConfig",
            "AutoModelForImageClassification": "modeling.Homemade",
        },
    }
    (resnet / "config.json").write_text(json.dumps(document))
    with pytest.raises(ConfigError, match="cannot be used"):
        pretrained.build(str(resnet), 2)
    assert not ran.exists()


def test_a_network_that_reads_text_is_refused(tmp_path):
    kind = hub.transformers().BertModel
    options = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    kind(kind.config_class(**options, intermediate_size=32, vocab_size=50)).save_pretrained(
        tmp_path / "bert"
    )
    with pytest.raises(ConfigError, match="bert network, which does not take pictures"):
        pretrained.describe(str(tmp_path / "bert"))


def _cut(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def _overwrite(folder):
    (folder / "model.safetensors").write_bytes(b"\xff" * 5000)


@pytest.mark.parametrize("spoil", [_cut, _overwrite])
def test_damaged_weights_are_said_to_be_damaged(spoil, resnet):
    spoil(resnet)
    with pytest.raises(ConfigError, match=r"model\.safetensors is damaged"):
        pretrained.describe(str(resnet))


def _rewrite(folder, change):
    path = folder / "model.safetensors"
    tensors = safetensors.torch.load(path.read_bytes())
    change(tensors)
    path.write_bytes(safetensors.torch.save(tensors, {"format": "pt"}))


def test_weights_that_are_missing_are_not_made_up(resnet):
    _rewrite(
        resnet,
        lambda tensors: tensors.pop("resnet.encoder.stages.1.layers.0.layer.0.convolution.weight"),
    )
    with pytest.raises(ConfigError, match=r"some are missing: resnet\.encoder\.stages\.1"):
        pretrained.build(str(resnet), 2)


def test_weights_of_another_shape_are_refused(resnet):
    name = "resnet.embedder.embedder.convolution.weight"
    _rewrite(resnet, lambda tensors: tensors.update({name: torch.zeros(9, 3, 7, 7)}))
    with pytest.raises(ConfigError, match="cannot be used"):
        pretrained.build(str(resnet), 2)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "cannot be used"),
        ('{"model_type": "unheard-of"}', "cannot be used"),
        ("[]", "cannot be used"),
    ],
)
def test_a_configuration_that_is_none_is_refused(text, reason, resnet):
    (resnet / "config.json").write_text(text)
    with pytest.raises(ConfigError, match=reason):
        pretrained.describe(str(resnet))


@pytest.mark.parametrize(
    "processor",
    [
        {"image_std": [0, 1, 1]},
        {"image_mean": [0.5]},
        {"image_mean": ["a", "b", "c"]},
        {"size": 4},
        {"size": {"height": 100000, "width": 100000}},
    ],
)
def test_a_picture_processor_that_makes_no_sense_is_refused(processor, resnet):
    document = json.loads((resnet / "preprocessor_config.json").read_text())
    (resnet / "preprocessor_config.json").write_text(json.dumps({**document, **processor}))
    with pytest.raises(ConfigError):
        pretrained.describe(str(resnet))


def test_a_folder_without_a_configuration_or_weights_is_refused(resnet, tmp_path):
    with pytest.raises(ConfigError, match=r"no config\.json"):
        pretrained.describe(str(tmp_path))
    (resnet / "model.safetensors").unlink()
    with pytest.raises(ConfigError, match=r"no model\.safetensors"):
        pretrained.describe(str(resnet))


@pytest.mark.parametrize("weights", ["./nowhere", "/nowhere/at/all", "~/nowhere-at-all", "a/b/c"])
def test_a_folder_that_is_not_there_is_not_looked_for_on_the_hub(weights):
    with pytest.raises(ConfigError, match="There is no folder"):
        pretrained.describe(weights)


@pytest.mark.parametrize("weights", ["", "a b", "--option", "@main", "owner/"])
def test_what_is_no_name_is_refused(weights):
    with pytest.raises(ConfigError, match="neither a folder nor a name"):
        pretrained.describe(weights)


def test_without_transformers_the_line_that_installs_it_is_said(resnet, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(DependencyDown, match=re.escape("mintage[hub]")):
        pretrained.describe(str(resnet))


class _Hub(http.server.BaseHTTPRequestHandler):
    """A hub with one set of weights, as its client asks for them."""

    folder = None
    asked = None
    commit = "0123456789abcdef0123456789abcdef01234567"

    def do_HEAD(self):
        self.do_GET(head=True)

    def do_GET(self, head=False):
        self.asked.append(self.path)
        path, _, _ = self.path.partition("?")
        if path.startswith("/api/models/shop/gated"):
            self._answer(403, b"{}", {"X-Error-Code": "GatedRepo"}, head)
        elif not path.startswith(("/api/models/shop/small", "/shop/small/")):
            self._answer(404, b"{}", {"X-Error-Code": "RepoNotFound"}, head)
        elif "/tree/" in path:
            self._answer(200, json.dumps(self._tree()).encode(), {}, head)
        elif path.startswith("/api/"):
            self._answer(
                200, json.dumps({"id": "shop/small", "sha": self.commit}).encode(), {}, head
            )
        else:
            data = (self.folder / path.rpartition("/")[2]).read_bytes()
            told = {"X-Repo-Commit": self.commit, "ETag": f'"{hashlib.sha256(data).hexdigest()}"'}
            self._answer(200, data, told, head)

    def _tree(self):
        entries = []
        for path in sorted(self.folder.iterdir()):
            data = path.read_bytes()
            entry = {"type": "file", "path": path.name, "size": len(data), "oid": "0" * 40}
            if path.suffix in (".safetensors", ".bin"):
                oid = hashlib.sha256(data).hexdigest()
                entry["lfs"] = {"oid": oid, "size": len(data), "pointerSize": 130}
            entries.append(entry)
        return entries

    def _answer(self, status, data, headers, head):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if not head:
            self.wfile.write(data)

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def our_hub(resnet, tmp_path, monkeypatch):
    """A hub on loopback that has ``shop/small``, with the client's cache in a folder."""
    hub.transformers()
    from huggingface_hub import constants

    (resnet / "README.md").write_text("---\nlicense: mit\n---\n")
    (resnet / "pytorch_model.bin").write_bytes(b"never wanted")
    kind = type("Hub", (_Hub,), {"folder": resnet, "asked": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), kind)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}"
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    kind.close = staticmethod(lambda: (server.shutdown(), server.server_close(), thread.join()))
    yield kind
    kind.close()


def test_a_name_is_downloaded_once_and_then_found_without_the_hub(our_hub, resnet, monkeypatch):
    said = []
    found = pretrained.describe("shop/small", say=said.append)
    assert len(said) == 1
    assert "shop/small" in said[0]
    assert (found.revision, found.licence) == (our_hub.commit, "mit")
    plain = pretrained.describe(str(resnet))
    assert found == dataclasses.replace(plain, weights="shop/small", revision=our_hub.commit)
    assert not [path for path in our_hub.asked if "pytorch_model" in path]
    our_hub.asked.clear()
    assert pretrained.describe("shop/small", say=said.append) == found
    pretrained.build("shop/small", 2)
    assert not our_hub.asked
    assert len(said) == 1


def test_what_came_damaged_into_the_cache_is_found_out(our_hub, tmp_path):
    found = pretrained.describe("shop/small")
    (blob,) = (tmp_path / "cache").rglob(f"blobs/{found.digest}")
    data = bytearray(blob.read_bytes())
    data[-1] ^= 1  # a weight: still whole safetensors
    blob.write_bytes(data)
    with pytest.raises(ConfigError, match="not the one that the hub gave"):
        pretrained.describe("shop/small")


def test_a_folder_that_the_hubs_client_made_has_its_revision(our_hub, tmp_path):
    from huggingface_hub import snapshot_download

    folder = tmp_path / "brought"
    snapshot_download("shop/small", local_dir=folder, allow_patterns=["*.json", "*.safetensors"])
    asked = len(our_hub.asked)
    assert pretrained.describe(str(folder)).revision == our_hub.commit
    assert len(our_hub.asked) == asked


def test_a_name_that_the_hub_does_not_know_is_said(our_hub):
    with pytest.raises(ConfigError, match="The hub has no weights shop/nothing"):
        pretrained.describe("shop/nothing")


def test_weights_behind_terms_are_said_to_be(our_hub):
    with pytest.raises(ConfigError, match="hf auth login"):
        pretrained.describe("shop/gated")


def test_a_hub_that_does_not_answer_is_said_with_the_way_around(our_hub):
    our_hub.close()
    with pytest.raises(DependencyDown) as caught:
        pretrained.describe("shop/small")
    told = str(caught.value)
    assert "does not answer" in told
    assert "hf download shop/small --local-dir small" in told
    assert "hub:./small" in told


def test_offline_by_choice_is_said(our_hub, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    said: list[str] = []
    with pytest.raises(DependencyDown, match="HF_HUB_OFFLINE is set"):
        pretrained.describe("shop/small", say=said.append)
    assert not our_hub.asked
    assert said == []


def test_a_local_folder_asks_no_hub(our_hub, resnet):
    pretrained.build(str(resnet), 2)
    assert not our_hub.asked


@pytest.mark.parametrize("name", ["transformers.modeling_utils", "huggingface_hub.utils._http"])
def test_advice_for_programmers_and_news_of_retries_are_not_for_users(name):
    logging.getLogger(name.partition(".")[0]).setLevel(logging.WARNING)
    hub.transformers()
    assert logging.getLogger(name).getEffectiveLevel() == logging.ERROR


def test_nothing_is_printed_and_nothing_warns(folders, capfd):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in ("vit", "dinov2"):  # the second lacks a classifying layer
            pretrained.build(str(folders[name]), 2)
    assert capfd.readouterr() == ("", "")
