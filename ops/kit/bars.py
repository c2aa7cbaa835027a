"""Words beside a progress bar: text from outside like any other."""

from rich.progress import ProgressColumn, Task
from rich.text import Text

from ops.kit.output import plain


class PlainColumn(ProgressColumn):
    """Shows a template such as `{task.description}`; rich's own column would take it for markup."""

    def __init__(self, template: str = "{task.description}") -> None:
        super().__init__()
        self._template = template

    def render(self, task: Task) -> Text:
        """See `ProgressColumn`."""
        return plain(self._template.format(task=task))
