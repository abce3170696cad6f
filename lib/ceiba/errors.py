"""What can go wrong, one class a kind; messages say what was given, what exists and what to do."""


class CeibaError(Exception):
    """Base of every error that Ceiba raises itself."""


class ParameterError(CeibaError):
    """A notebook parameter is unknown, missing or of the wrong type."""


class InputError(CeibaError):
    """An input of a task is missing or cannot be read."""


class NoDateError(InputError):
    """A source has data, but none of the year that is asked for."""


class NotFoundError(InputError):
    """Something was asked for by a name that nothing has."""


class SettingsError(CeibaError):
    """A setting in the environment cannot be used."""


class CatalogError(CeibaError):
    """A catalogue or a source of it is missing or malformed."""


class ProductError(CeibaError):
    """A product definition is malformed, or data do not match it."""


class SceneError(CeibaError):
    """A satellite scene is unreadable, incomplete or in another CRS than it says."""


class TransferError(SceneError):
    """A scene did not arrive whole from its archive; the next attempt may succeed."""


class RecordingError(CeibaError):
    """A sound recording is unreadable or lacks what is needed."""


class LegendError(CeibaError):
    """A legend is inconsistent, or a class has no place in it."""


class NetworkError(CeibaError):
    """A Bayesian network is malformed, or evidence does not fit it."""


class ReviewError(CeibaError):
    """A review is incomplete, or its set does not fit what it is held against."""


class StoreError(CeibaError):
    """The store or its database cannot be used."""


class AreaError(CeibaError):
    """An area, tile or period does not exist."""
