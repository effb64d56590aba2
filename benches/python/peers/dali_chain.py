"""DALI without a GPU: decode, resize by a triangular filter (it has no area), CLAHE, table."""

from __future__ import annotations

import numpy as np
from nvidia.dali import Pipeline, fn, types

from medprep.kernels.python import gamma_table
from peers import Chain, Recipe

NO_MEDIAN = "; without the median, which needs a GPU: less work"


def make(recipe: Recipe) -> Chain:
    pipeline = Pipeline(batch_size=1, num_threads=1, device_id=None, prefetch_queue_depth=1)
    with pipeline:
        encoded = fn.external_source(name="encoded", device="cpu", no_copy=True)
        pipeline.set_outputs(_finished(_resized(encoded, recipe), recipe))
    pipeline.build()

    def run(data: bytes) -> np.ndarray:
        pipeline.feed_input("encoded", [np.frombuffer(data, np.uint8)])
        (samples,) = pipeline.run()
        return np.asarray(samples.at(0)).reshape(recipe.height, recipe.width, -1).squeeze()

    note = "triangular filter instead of area"
    return Chain(run=run, note=note if recipe.median is None else note + NO_MEDIAN)


def _resized(encoded: object, recipe: Recipe) -> object:
    output = types.GRAY if recipe.grey else types.RGB
    image = fn.decoders.image(encoded, device="cpu", output_type=output)
    size = (recipe.height, recipe.width)
    return fn.resize(image, size=size, interp_type=types.INTERP_TRIANGULAR)


def _finished(image: object, recipe: Recipe) -> object:
    if recipe.clip_limit is not None:
        image = fn.clahe(
            image, tiles_x=recipe.tiles, tiles_y=recipe.tiles, clip_limit=recipe.clip_limit
        )
    if recipe.gamma is not None:
        table = gamma_table(recipe.gamma).tolist()
        image = fn.lookup_table(image, keys=list(range(256)), values=table, dtype=types.UINT8)
    return image
