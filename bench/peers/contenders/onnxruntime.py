"""ONNX Runtime: all optimisations, sequential execution, denormals as zero.

Variants: `cores` runs the batch at once with a thread a core; `requests:N` divides it into N, which one thread each take from a queue.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnxruntime as ort

from contenders.serve import THREADS, serve, task


def session(model, batch, threads):
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.set_denormal_as_zero", "1")
    options.add_free_dimension_override_by_name("N", batch)
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def main():
    work = task()
    pictures, model = work.pictures(), work.model(".onnx")
    if work.variant == "cores":
        runtime = session(model, work.batch, THREADS)
        feed = {runtime.get_inputs()[0].name: pictures}

        def run():
            return runtime.run(None, feed)[0]

    else:
        requests = int(work.variant.partition(":")[2])
        runtime = session(model, work.batch // requests, 1)
        name = runtime.get_inputs()[0].name
        parts = np.split(pictures, requests)
        pool = ThreadPoolExecutor(THREADS)

        def run():
            return np.concatenate(list(pool.map(lambda part: runtime.run(None, {name: part})[0], parts)))

    serve(work, run(), run)


main()
