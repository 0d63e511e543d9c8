"""The catalog that says which files a table is made of: opened here, its failures translated here."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Self
from urllib.parse import urlsplit

from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import CommitFailedException, NoSuchTableError, RESTError, ValidationException
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from common.errors import CannotStart, Reposition, TryLater, unfit_secret
from common.settings import LakeSettings
from twinstream_lake.layout import CATALOG, NAMESPACE

_FORMAT: Final = {"format-version": "2"}  # of a table itself; it is none of its properties
_SQLITE: Final = "sqlite"
_BUSY_S: Final = 30  # how long SQLite waits for another process's commit


class Catalog:
    """The lake's catalog; every call blocks, so that an event loop asks it from a thread."""

    def __init__(self, settings: LakeSettings) -> None:
        uri = _prepared(settings.lake_catalog_uri.get_secret_value())
        warehouse = warehouse_of(settings)
        with translated("the opening of the catalog"):
            self.catalog = SqlCatalog(CATALOG, uri=uri, warehouse=warehouse)

    @classmethod
    def of_local_files(cls, settings: LakeSettings) -> Self:
        """The same for who reads files by DuckDB: it knows those of this machine's folders alone.

        Raises:
            CannotStart: lake_not_local; they are elsewhere.
        """
        scheme = urlsplit(settings.lake_warehouse).scheme
        if scheme not in {"", "file"}:
            raise CannotStart(
                f"TWINSTREAM_LAKE_WAREHOUSE is on {scheme}: DuckDB reads files of a local or shared folder "
                "alone. What is written there, Spark and Trino read.",
                code="lake_not_local",
            )
        return cls(settings)

    def close(self) -> None:
        self.catalog.close()

    def load(self, table: str) -> Table:
        """A table as it is now.

        Raises:
            TryLater: it is not there yet, or the catalog is away.
        """
        with translated(f"a look at {table}"):
            return self.catalog.load_table((NAMESPACE, table))

    def ensure(
        self, table: str, schema: Schema, *, properties: Mapping[str, str] = MappingProxyType({}), **about: Any
    ) -> Table:
        """A table, made where there is none; one of a former version gets the columns and properties that it lacks.

        What a newer version has added stays: its rows are written without it. So does a property that was changed.

        Args:
            table: its name.
            schema: columns are known by their names; those that are added are empty in former rows.
            properties: how it is written.
            about: what else a table is made with.

        Raises:
            TryLater: the catalog is away, or the table was changed just now.
        """
        try:
            with translated(f"the making of {table}"):
                self.catalog.create_namespace_if_not_exists(NAMESPACE)
                made = self.catalog.create_table_if_not_exists(
                    (NAMESPACE, table), schema=schema, properties={**_FORMAT, **properties}, **about
                )
                known = {field.name for field in made.schema().fields}
                columns = [field for field in schema.fields if field.name not in known]
                unset = {name: value for name, value in properties.items() if name not in made.properties}
                if columns or unset:
                    with made.transaction() as transaction:
                        with transaction.update_schema() as update:
                            for field in columns:
                                update.add_column(field.name, field.field_type)
                        transaction.set_properties(unset)
                return made
        except Reposition as moved:
            raise TryLater(str(moved)) from moved


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Turn the exceptions of catalog, files and database into ours.

    Raises:
        Reposition: another process committed to the table meanwhile.
        CannotStart: a connection string does not fit.
        TryLater: anything else that may pass; whether a commit went through is not known then.
    """
    try:
        yield
    except (CommitFailedException, ValidationException) as error:
        raise Reposition(f"The table changed during {doing}: {error}") from error
    except NoSuchTableError as error:
        raise TryLater(f"The lake has no such table yet: {error}") from error
    except (ArgumentError, NoSuchModuleError) as error:
        raise CannotStart(unfit_secret("TWINSTREAM_LAKE_CATALOG_URI", error)) from None
    except (SQLAlchemyError, RESTError, OSError) as error:
        raise TryLater(f"The lake did not take part in {doing}: {type(error).__name__}") from error


def warehouse_of(settings: LakeSettings) -> str:
    """Where the tables' files are: a URL, or an absolute path for a folder on this machine."""
    given = settings.lake_warehouse
    return given if "://" in given else str(Path(given).expanduser().absolute())


def _prepared(uri: str) -> str:
    """The connection string with what SQLite needs to be shared by several processes; its folder is made."""
    try:
        url = make_url(uri)
    except ArgumentError as error:
        raise CannotStart(unfit_secret("TWINSTREAM_LAKE_CATALOG_URI", error)) from None
    if url.get_backend_name() != _SQLITE or not url.database:
        return uri
    path = Path(url.database).expanduser().absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    return url.set(database=str(path)).update_query_dict({"timeout": str(_BUSY_S)}).render_as_string(False)
