"""What both stand-ins share: their state in a folder. See README.md."""
import os
import pathlib
import shutil
import sys
import time


def refuse(program, line):
    """A call that the documentation does not have."""
    print(f"stand-in: `{program} {line}` is not a call of the documentation", file=sys.stderr)
    sys.exit(64)


class State:
    def __init__(self, program):
        self.program = program
        self.folder = pathlib.Path(os.environ["KFE2E_STAND_IN"])
        self.call = program

    def path(self, name):
        return self.folder / name

    def has(self, name):
        return self.path(name).exists()

    def lines(self, name):
        return self.path(name).read_text().splitlines() if self.has(name) else []

    def write(self, name, lines):
        # At once or not at all: the test kills at any moment.
        partial = self.path(f"{name}.{os.getpid()}")
        partial.write_text("".join(line + "\n" for line in lines))
        partial.rename(self.path(name))

    def append(self, name, line):
        self.write(name, self.lines(name) + [line])

    def forget(self, *names):
        for name in names:
            self.path(name).unlink(missing_ok=True)

    def called(self, line):
        self.call = f"{self.program} {line}"
        self.append("calls", self.call)
        for intrusion in self.lines("intrude"):
            number, call = intrusion.split(" ", 1)
            if self.call == call and self.lines("calls").count(call) == int(number):
                self.install(self.spawn("Done", "1.32/stable"), "1.32/stable")

    def changes(self):
        return [line.split(" ", 2) for line in self.lines("changes")]

    def spawn(self, status, channel):
        """A change that installs the snap; its number is never given again."""
        number = str(len(self.changes()) + 1)
        self.append("changes", f'{number} {status} Install "microk8s" snap from "{channel}" channel')
        return number

    def install(self, number, channel):
        self.write("installed", [channel])
        self.common().mkdir(parents=True, exist_ok=True)

    def remove(self):
        self.forget("installed", "addons", "images")
        shutil.rmtree(self.common().parent, ignore_errors=True)

    def common(self):
        """The data that all revisions of the snap share."""
        return pathlib.Path(os.environ["SNAPPY_GLOBAL_ROOT"]) / "var/snap/microk8s/common"

    def fails(self):
        return any(self.call.startswith(beginning) for beginning in self.lines("fail"))

    def hang_or_fail(self, message, before=lambda: None):
        """Does as the test says of this call; the message is for standard error, unless there is none."""
        if any(self.call.startswith(beginning) for beginning in self.lines("hang")):
            self.write("hanging", [str(os.getpid())])
            while self.has("hang"):
                time.sleep(0.02)
        if self.fails():
            before()
            sys.exit(message or 1)
