"""LiteRT with XNNPACK, a thread a core; the file NAME-BATCH.tflite takes pictures with channels last."""

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from contenders.serve import THREADS, serve, task


def main():
    work = task()
    interpreter = Interpreter(str(work.model(f"-{work.batch}.tflite")), num_threads=THREADS)  # XNNPACK is the default
    interpreter.allocate_tensors()
    pictures = work.pictures()
    if pictures.dtype == np.float32:
        pictures = np.ascontiguousarray(pictures.transpose(0, 2, 3, 1))
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], pictures)
    interpreter.invoke()
    output = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    serve(work, output, interpreter.invoke)


main()
