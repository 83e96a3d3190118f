"""The configuration as a file: `import_programme` reads it into rows, `export_programme` writes it from them."""

from surveys.flow.programme.document import Fault
from surveys.flow.programme.reading import Imported, ProgrammeError, import_programme
from surveys.flow.programme.writing import export_programme

__all__ = ["Fault", "Imported", "ProgrammeError", "export_programme", "import_programme"]
