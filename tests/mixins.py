"""diffusers' own tests of pipelines, pointed at ours; docs/diffusers.md says what they find.

They are read from a checkout of diffusers that lies elsewhere, and need two packages more:

    git clone --depth 1 --branch v0.40.0 https://github.com/huggingface/diffusers /elsewhere/diffusers
    pip install parameterized requests-mock
    DIFFUSERS=/elsewhere/diffusers python -m pytest tests/mixins.py -o addopts=--import-mode=importlib -rA
"""

import copy
import importlib.util
import inspect
import os
import sys
import tempfile
import unittest
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

import diffusers.pipelines
import torch
from diffusers import EulerDiscreteScheduler
from peft import LoraConfig
from transformers import CLIPTextModel, CLIPTextModelWithProjection

from layerfusion import LayerFusionPipeline
from layerfusion.prompts import first_eos
from tests.tiny import tiny_components, tiny_foreground, tiny_scheduler, tiny_tokenizer, tiny_transparent_decoder

# Their tests are a package of the name that ours have; their imports are relative, so any other name will do.
THEIRS = Path(os.environ["DIFFUSERS"]) / "tests"
spec = importlib.util.spec_from_file_location(
    "diffusers_tests", THEIRS / "__init__.py", submodule_search_locations=[str(THEIRS)]
)
assert spec is not None
sys.modules["diffusers_tests"] = importlib.util.module_from_spec(spec)
common = import_module("diffusers_tests.pipelines.test_pipelines_common")
parameters = import_module("diffusers_tests.pipelines.pipeline_params")
lora = import_module("diffusers_tests.lora.utils")

PROMPT, SCENE = "A painting of a squirrel eating a burger", "a snowy forest"
RUN = {"height": 64, "width": 64}  # the tiny model's own size
EMBEDS = ("{}prompt_embeds", "negative_{}prompt_embeds", "pooled_{}prompt_embeds", "negative_pooled_{}prompt_embeds")


class SDXLNamed(LayerFusionPipeline):
    """The pipeline under SDXL's names, each given to both streams: many of the tests write `prompt` themselves."""

    def __call__(
        self,
        prompt=None,
        negative_prompt=None,
        prompt_embeds=None,
        negative_prompt_embeds=None,
        pooled_prompt_embeds=None,
        negative_pooled_prompt_embeds=None,
        ip_adapter_image=None,
        ip_adapter_image_embeds=None,
        height=None,
        width=None,
        num_inference_steps=None,
        guidance_scale=None,
        num_images_per_prompt=1,
        generator=None,
        latents=None,
        cross_attention_kwargs=None,
        output_type="pil",
        return_dict=True,
        callback_on_step_end=None,
        callback_on_step_end_tensor_inputs=("latents",),
    ):
        named = dict(locals())
        del named["self"], named["__class__"]
        for stream in ("foreground", "background"):
            for name in ("prompt", "negative_prompt"):
                named[name.replace("prompt", f"{stream}_prompt")] = named[name]
            for name in EMBEDS:
                named[name.format(f"{stream}_")] = named[name.format("")]
            for name in ("ip_adapter_image", "ip_adapter_image_embeds"):
                named[f"{stream}_{name}"] = named[name]
        if prompt_embeds is not None:
            # Embeddings do not say where their prompt ends; the only ones in these tests are of this one.
            named["foreground_eos"] = first_eos(tiny_tokenizer(), [PROMPT]).tolist()
        theirs = inspect.signature(LayerFusionPipeline.__call__).parameters
        return super().__call__(**{name: value for name, value in named.items() if name in theirs})


# Where one of the tests looks a pipeline's source up by its name.
diffusers.pipelines.SDXLNamed = SDXLNamed


def components() -> dict[str, Any]:
    """Everything that a pipeline takes; the same for every call."""
    parts = tiny_components() | {"transparent_decoder": tiny_transparent_decoder()}
    absent = dict.fromkeys(("transparent_encoder", "image_encoder", "feature_extractor", "controlnet"))
    return parts | {"foreground": tiny_foreground(parts["unet"], scale=0.5)} | absent


class Common(common.PipelineLatentTesterMixin, common.PipelineTesterMixin):
    """Of both sets of names."""

    image_params = image_latents_params = frozenset()
    callback_cfg_params = parameters.TEXT_TO_IMAGE_CALLBACK_CFG_PARAMS | {"add_text_embeds", "add_time_ids"}
    test_layerwise_casting = test_group_offloading = True

    def get_dummy_components(self) -> dict[str, Any]:
        return components()

    @unittest.skip(
        "leaves out every optional component, and generates; ours are optional so that a pipeline may encode"
    )
    def test_save_load_optional_components(self) -> None: ...

    def inputs(self, device: Any, seed: int) -> dict[str, Any]:
        generator = torch.Generator(device).manual_seed(seed)
        run = {"num_inference_steps": 2, "guidance_scale": 5.0, "output_type": "np", "generator": generator}
        return run | RUN


class TestUnderOurNames(Common, unittest.TestCase):
    pipeline_class = LayerFusionPipeline
    params = frozenset(
        name.replace("prompt", f"{stream}_prompt") if "prompt" in name else name
        for name in parameters.TEXT_TO_IMAGE_PARAMS
        for stream in ("foreground", "background")
    )
    batch_params = frozenset({"foreground_prompt", "background_prompt"})

    def get_dummy_inputs(self, device: Any, seed: int = 0) -> dict[str, Any]:
        return self.inputs(device, seed) | {"foreground_prompt": PROMPT, "background_prompt": SCENE}

    @unittest.skip("looks for `prompt` among the arguments of a call")
    def test_encode_prompt_works_in_isolation(self) -> None: ...


class TestAGivenPicture(unittest.TestCase):
    """The one test that takes a picture to start from: a background that is kept."""

    pipeline_class, image_params = LayerFusionPipeline, frozenset({"background_image"})
    test_pt_np_pil_inputs_equivalent = common.PipelineLatentTesterMixin.test_pt_np_pil_inputs_equivalent
    get_dummy_inputs_by_type = common.PipelineLatentTesterMixin.get_dummy_inputs_by_type

    def get_dummy_components(self) -> dict[str, Any]:
        return components()

    def get_dummy_inputs(self, device: Any, seed: int = 0) -> dict[str, Any]:
        photo = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(seed))
        asked = {"foreground_prompt": PROMPT, "background_prompt": SCENE, "background_image": photo}
        return asked | RUN | {"num_inference_steps": 2, "generator": torch.Generator(device).manual_seed(seed)}


class TestUnderTheirNames(common.SDFunctionTesterMixin, common.IPAdapterTesterMixin, Common, unittest.TestCase):
    pipeline_class = SDXLNamed
    params = parameters.TEXT_TO_IMAGE_PARAMS
    batch_params = parameters.TEXT_TO_IMAGE_BATCH_PARAMS

    def get_dummy_inputs(self, device: Any, seed: int = 0) -> dict[str, Any]:
        return self.inputs(device, seed) | {"prompt": PROMPT}


class TestLoRA(lora.PeftLoraLoaderMixinTests, unittest.TestCase):
    pipeline_class = SDXLNamed
    scheduler_cls = EulerDiscreteScheduler
    has_two_text_encoders = True
    unet_kwargs: ClassVar = {}  # that it is a UNet, and no transformer
    output_shape = (1, 64, 64, 4)

    @classmethod
    def setUpClass(cls) -> None:
        """Text encoders lie in folders: what is saved with a LoRA on it names where it came from."""
        super().setUpClass()
        cls.folder = tempfile.TemporaryDirectory()
        for name in ("text_encoder", "text_encoder_2"):
            components()[name].save_pretrained(Path(cls.folder.name) / name)

    @classmethod
    def tearDownClass(cls) -> None:
        cls.folder.cleanup()
        super().tearDownClass()

    def get_dummy_components(self, scheduler_cls: Any = None, use_dora: bool = False, lora_alpha: int | None = None):
        loaded = {
            "text_encoder": CLIPTextModel.from_pretrained(Path(self.folder.name) / "text_encoder"),
            "text_encoder_2": CLIPTextModelWithProjection.from_pretrained(Path(self.folder.name) / "text_encoder_2"),
            "scheduler": (scheduler_cls or self.scheduler_cls).from_config(tiny_scheduler().config),
        }
        configs = (
            LoraConfig(
                r=4,
                lora_alpha=lora_alpha or 4,
                target_modules=targets,
                init_lora_weights=False,
                use_dora=use_dora,
            )
            for targets in (self.text_encoder_target_modules, self.denoiser_target_modules)
        )
        return components() | loaded, *configs

    def add_adapters_to_pipeline(
        self, pipe: Any, text_lora_config: Any = None, denoiser_lora_config: Any = None, adapter_name: str = "default"
    ) -> tuple[Any, Any]:
        """A configuration for each encoder: it notes the folder of its own. Theirs share one, and one folder."""
        for encoder in (pipe.text_encoder, pipe.text_encoder_2) if text_lora_config else ():
            encoder.add_adapter(copy.deepcopy(text_lora_config), adapter_name=adapter_name)
            assert lora.check_if_lora_correctly_set(encoder)
        if denoiser_lora_config is None:
            return pipe, None
        pipe.unet.add_adapter(denoiser_lora_config, adapter_name=adapter_name)
        assert lora.check_if_lora_correctly_set(pipe.unet)
        return pipe, pipe.unet

    def get_dummy_inputs(self, with_generator: bool = True):
        generator = torch.manual_seed(0)
        noise = lora.floats_tensor((1, 4, 8, 8))
        ids = torch.randint(1, 10, size=(1, 10), generator=generator)
        run = {"prompt": PROMPT, "num_inference_steps": 5, "guidance_scale": 6.0, "output_type": "np"} | RUN
        return noise, ids, run | ({"generator": generator} if with_generator else {})
