"""TensorBoard as the judge of our event files.

  tensorboard_read.py golden FILE   writes tests/golden/events.golden with TensorBoard's own messages and checksums
  tensorboard_read.py read FOLDER   prints what TensorBoard's EventAccumulator finds: tag, step, value
"""
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter


def golden(path):
    value = Summary.Value
    events = [
        Event(wall_time=1700000000.25, file_version="brain.Event:2"),
        Event(wall_time=1700000000.5, step=300, session_log=SessionLog(status=SessionLog.START)),
        Event(wall_time=1700000001.0, step=1, summary=Summary(value=[value(tag="loss", simple_value=6.9314718)])),
        Event(wall_time=1700000002.0, step=300,
              summary=Summary(value=[value(tag="router/load_max_over_mean", simple_value=1.5)])),
        Event(wall_time=1700000003.0, step=5000000000,
              summary=Summary(value=[value(tag="loss", simple_value=-0.125)])),
    ]
    with open(path, "wb") as file:
        writer = RecordWriter(file)
        for event in events:
            writer.write(event.SerializeToString())
        writer.flush()


def read(folder):
    accumulator = EventAccumulator(folder, size_guidance={"scalars": 0})
    accumulator.Reload()
    for tag in sorted(accumulator.Tags()["scalars"]):
        for event in accumulator.Scalars(tag):
            print(f"{tag}\t{event.step}\t{event.value:.9g}\t{event.wall_time:.6f}")


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in ("golden", "read"):
        sys.exit(__doc__)
    golden(sys.argv[2]) if sys.argv[1] == "golden" else read(sys.argv[2])
