"""The errors that a user can cause and mend; never raised for a defect of the project itself.

Every message says what is wrong (naming the file, row, gene or option) and what to do about it. The command line prints
the message alone and exits with status 2.
"""


class ReproduceError(ValueError):
    """Base of all errors that the user can mend."""


class DataFormatError(ReproduceError):
    """A file or matrix is not what it claims to be."""


class DownloadError(ReproduceError):
    """A source could not be fetched, or what came is not what was expected."""


class ConfigError(ReproduceError):
    """An option, preset or hyperparameter is unknown or out of range."""


class CovariateError(ReproduceError):
    """A covariate is absent, misaligned, or has a category that was not seen in fitting."""
