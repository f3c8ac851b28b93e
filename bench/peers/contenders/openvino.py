"""OpenVINO: f32, denormals as zero.

Variants: `latency` runs the batch as one request with the latency hint; `throughput:N` divides it into N asynchronous requests, with the
throughput hint and a stream a core.
"""

import numpy as np
import openvino as ov

from contenders.serve import THREADS, serve, task


def main():
    work = task()
    hint, _, requests = work.variant.partition(":")
    requests = int(requests or 1)
    core = ov.Core()
    model = core.read_model(work.model(".onnx"))
    model.reshape([work.batch // requests, *work.shape[1:]])
    options = {
        "PERFORMANCE_HINT": hint.upper(),
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": THREADS,
        "CPU_DENORMALS_OPTIMIZATION": True,
    }
    if hint == "throughput":
        options["NUM_STREAMS"] = THREADS
    compiled = core.compile_model(model, "CPU", options)
    pending = []
    for part in np.split(work.pictures(), requests):
        request = compiled.create_infer_request()
        request.set_input_tensor(ov.Tensor(np.ascontiguousarray(part), shared_memory=True))
        pending.append(request)

    def run():
        for request in pending:
            request.start_async()
        for request in pending:
            request.wait()

    run()
    serve(work, np.concatenate([request.get_output_tensor().data for request in pending]), run)


main()
