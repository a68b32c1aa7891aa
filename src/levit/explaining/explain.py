"""Explanation of predictions: `levit.Explainer`, and `levit.explain` for a single image."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from os import PathLike
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from levit.checkpoints.checkpoint import Checkpoint
from levit.errors import ConfigError, ImageError
from levit.explaining.attention_opening import open_attention_network
from levit.explaining.class_activation import open_token_network, token_logits
from levit.explaining.class_choice import find_class
from levit.explaining.explanation import Explanation
from levit.explaining.masks import occlusion_masks, random_masks
from levit.explaining.methods import DEFAULT_MASKS, method_entry
from levit.explaining.perturbation import Check, log_odds, masked_logits, nothing_to_check, occlusion_map, rise_map
from levit.explaining.view import View
from levit.images.decoding import MAX_PIXELS, ImageSource, describe_source, snapshot_source
from levit.images.transform import read_network_input
from levit.managed_engine import ManagedEngine
from levit.runtime.engine import Engine, ImageEngine
from levit.runtime.opened_model import ModelOptions, OpenedModel
from levit.runtime.prediction import Label, Prediction
from levit.spec.artifact import Artifact
from levit.spec.choices import ExplanationMethod, Precision, PreprocessingMode
from levit.spec.field_values import check_count

if TYPE_CHECKING:
    from levit.explaining.attention import AttentionNetwork

Pixels = NDArray[np.uint8]
Logits = NDArray[np.float32]
Network = TypeVar("Network")
Choose = Callable[[Logits], int]
Result = tuple[Logits, int, NDArray[np.float32]]  # logits, index of the class, map


class Explainer:
    """Explanation of predictions by one model, which is opened on first use and may be shared between threads.

    Args:
        model, engine, precision, threads, max_pixels, preprocessing, provider, revision: as for `levit.Classifier`.
            "gradient-attention" and "rollout" use the checkpoint itself, in torch and in fp32, with the embedded
            model's training weights for None.
        opened: the model, if it is open already; it stays open, and `model` and its options are left out.
        max_batches: largest number of batches of an explanation that are computed at once, at least 1; None for as many
            as the engine takes. A service leaves threads to other requests with it.

    Raises:
        ConfigError: `preprocessing` is unknown. Errors of the model are raised by the first explanation.

    Examples:
        >>> import levit
        >>> with levit.Explainer() as explain:
        ...     explanation = explain("examples/espresso.jpg")
        >>> explanation.label.name, explanation.heat.shape
        ('espresso', (400, 600))
    """

    def __init__(
        self,
        model: str | PathLike[str] | Checkpoint | Engine | None = None,
        *,
        engine: str = "auto",
        precision: Precision = "auto",
        threads: int | None = None,
        max_pixels: int = MAX_PIXELS,
        preprocessing: PreprocessingMode = "fast",
        provider: str | None = None,
        revision: str | None = None,
        opened: OpenedModel | None = None,
        max_batches: int | None = None,
    ) -> None:
        if preprocessing not in ("fast", "exact"):
            raise ConfigError(f"is {preprocessing!r}", source="preprocessing", hint="use fast or exact")
        options = ModelOptions(model, engine, precision, threads, provider, revision)
        self._options = options if opened is None else opened.options
        self._max_pixels, self._exact = check_count("max_pixels", max_pixels), preprocessing == "exact"
        self._given, self._max_batches = opened, max_batches
        self._lock = threading.RLock()  # the token network needs the opened model
        self._networks: dict[str, Any] = {}  # those that are open

    def __call__(
        self,
        image: ImageSource,
        *,
        class_name: str | int | None = None,
        method: ExplanationMethod = "occlusion",
        masks: int = DEFAULT_MASKS,
        seed: int = 0,
        check: Check = nothing_to_check,
    ) -> Explanation:
        """Explain the score of one class for one image.

        Args:
            image: as for `levit.Classifier`.
            class_name: name or index of the class; None for the most probable class.
            method: "occlusion", "rise", "cam", "gradient-attention" or "rollout"; see `levit.explain`.
            masks: number of random masks of "rise", at least 1.
            seed: seed of these masks, at least 0.
            check: called before each batch of a method with many; an exception that it raises ends the computation.

        Raises:
            ConfigError: the class, the method, the number of masks or the seed is unknown or invalid.
            ImageError: the image cannot be decoded or is refused, or a logit is not finite.
            EngineError: the model cannot be opened, or the method needs another form of it.
        """
        entry = method_entry(method)
        for option, value, smallest in (("masks", masks, 1), ("seed", seed, 0)):
            if value < smallest:
                raise ConfigError(f"is {value}", source=option, hint=f"give at least {smallest}")
        name, image = describe_source(image), snapshot_source(image, max_pixels=self._max_pixels)
        artifact = self._attention_network.artifact if entry.needs_torch else self._opened.artifact
        requested = None if class_name is None else find_class(class_name, artifact.labels)
        seen, size = read_network_input(image, artifact.preprocessing, max_pixels=self._max_pixels, exact=self._exact)
        pixels = np.asarray(seen)
        choose = partial(_choose, requested, name)
        if method == "cam":
            logits, index, values = self._class_activation(pixels, choose)
        elif entry.needs_torch:
            logits, index, values = self._attention(pixels, choose, is_class_specific=entry.is_class_specific)
        else:
            drawn = occlusion_masks() if method == "occlusion" else random_masks(masks, seed)
            logits, index, values = self._perturbation(pixels, choose, drawn, check, is_random=method == "rise")
        prediction = _predict(logits, artifact, name)
        return Explanation(
            source=name,
            method=method,
            label=Label(artifact.labels[index], index, float(prediction.scores[index])),
            is_unknown=prediction.is_unknown and prediction.top(1)[0].index == index,
            is_class_specific=entry.is_class_specific,
            values=values,
            view=View.of_image(size, artifact.preprocessing),
            size=size,
            image=image,
            max_pixels=self._max_pixels,
        )

    @property
    def _opened(self) -> OpenedModel:
        return self._given or self._open_once("model", self._options.open)

    @property
    def _token_network(self) -> ImageEngine:
        return self._open_once("tokens", lambda: open_token_network(self._options, self._opened.artifact))

    @property
    def _attention_network(self) -> AttentionNetwork:
        is_embedded = self._options.model is None  # which is exported for larger images than it was trained on
        size = self._opened.artifact.architecture.image_height_width if is_embedded else None
        return self._open_once("attention", lambda: open_attention_network(self._options, size))

    def _open_once(self, name: str, open_network: Callable[[], Network]) -> Network:
        """Open a network by the first thread that needs it."""
        with self._lock:
            if name not in self._networks:
                self._networks[name] = open_network()
            network: Network = self._networks[name]
            return network

    def close(self) -> None:
        """Finish the computations in progress, and free the networks; a second call does nothing."""
        with self._lock:
            for network in self._networks.values():
                if isinstance(network, OpenedModel | ManagedEngine):
                    network.close()
            self._networks.clear()

    def __enter__(self) -> Self:
        """Return the explainer."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the explainer."""
        self.close()

    def _perturbation(
        self, pixels: Pixels, choose: Choose, masks: NDArray[np.float32], check: Check, *, is_random: bool
    ) -> Result:
        logits = masked_logits(self._opened.image_engine, pixels, masks, check, max_batches=self._max_batches)
        index = choose(logits[0])
        scores = log_odds(logits, index, is_multi_label=self._opened.artifact.is_multi_label)
        return logits[0], index, (rise_map if is_random else occlusion_map)(scores, masks)

    def _class_activation(self, pixels: Pixels, choose: Choose) -> Result:
        (logits,) = self._opened.image_engine.run_images(pixels[None])  # those of `levit.Classifier`
        index = choose(logits)
        tokens = token_logits(self._token_network, pixels, self._opened.artifact.architecture)
        return logits, index, tokens[..., index]

    def _attention(self, pixels: Pixels, choose: Choose, *, is_class_specific: bool) -> Result:
        attention = self._attention_network.run(pixels)
        index = choose(attention.logits)
        values = attention.times_gradient(index) if is_class_specific else attention.rollout()
        return attention.logits, index, values


def explain(
    image: ImageSource,
    *,
    model: str | PathLike[str] | Checkpoint | Engine | None = None,
    class_name: str | int | None = None,
    method: ExplanationMethod = "occlusion",
    masks: int = DEFAULT_MASKS,
    seed: int = 0,
    **options: Any,
) -> Explanation:
    """Show which parts of an image the score of a class depends on.

    `levit.Explainer` opens the model once for many images.

    Methods, of which the first three need no torch (`docs/how-to/explain.md` compares them):

    - "occlusion": decrease of the log-odds of the class where a window is blurred, at 14 x 14 positions.
    - "rise": log-odds of the class where random parts are blurred, averaged over the masks that keep a part.
    - "cam": logit of the class of each of the last tokens, whose mean is the logit of the image; two passes.
    - "gradient-attention": attention times its gradient, through all stages; from a checkpoint.
    - "rollout": attention through all stages, the same for every class; from a checkpoint.

    Args:
        image: as for `levit.Classifier`.
        model: as for `levit.Classifier`; None for the embedded model.
        class_name: name or index of the class to explain; None for the most probable class.
        method: one of the above.
        masks: number of random masks of "rise", at least 1.
        seed: seed of these masks, at least 0.
        **options: further options of `levit.Explainer`.

    Returns:
        The map, as `heat`, float32 [height, width] in pixels of the upright image, with `overlay()` and `save()`.

    Raises:
        ConfigError: the class, the method, the number of masks or the seed is unknown or invalid.
        ImageError: the image cannot be decoded or is refused, or a logit is not finite.
        CheckpointError: the model does not exist or is damaged.
        EngineError: the model cannot be opened, or the method needs another form of it.

    Examples:
        >>> import levit
        >>> explanation = levit.explain("examples/cat.jpg", class_name="tabby")
        >>> explanation.heat.shape, explanation.heat.dtype
        ((300, 451), dtype('float32'))
    """
    with Explainer(model, **options) as explainer:
        return explainer(image, class_name=class_name, method=method, masks=masks, seed=seed)


def _choose(requested: int | None, name: str, logits: Logits) -> int:
    if not np.isfinite(logits).all():
        raise ImageError("the model gives a logit that is not finite", source=name)
    return int(np.argmax(logits)) if requested is None else requested


def _predict(logits: Logits, artifact: Artifact, name: str) -> Prediction:
    rejection = artifact.rejection
    return Prediction(
        name,
        logits,
        artifact.labels,
        temperature=rejection.temperature if rejection else 1.0,
        threshold=rejection.threshold if rejection else 0.0,
        is_multi_label=artifact.is_multi_label,
    )
