"""Archives behind a STAC API: searched by place and period, nothing is fetched by searching."""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import pystac_client
import pystac_client.exceptions
import pystac_client.stac_api_io
import requests
from odc.geo.geom import Geometry

from ceiba.ard.archives import ArchivedScene, ArchiveSource
from ceiba.ard.downloads import retry
from ceiba.ard.offers import Offer, is_unused, read_item
from ceiba.errors import CatalogError, InputError, SceneError, TransferError
from ceiba.grids import Period, Tile
from ceiba.products import content_id
from ceiba.providers import Collection, Provider, find_provider
from ceiba.sources import Found, Selection

log = logging.getLogger(__name__)

PAGE_ITEMS = 100
MAX_ITEMS = 200_000
# Scenes come into an archive after they were taken: of Landsat 8 and 9 in their final tier after 14 to 16 days, of Landsat 7 after
# 26 (USGS, Landsat Collection 2, "Landsat Collections tiers"); twice that and more until a year is taken for whole.
SETTLES = timedelta(days=60)


class NetworkArchive(ArchiveSource):
    """Base of the archives on the network: a provider of ``catalogs/providers.yml`` and some of its collections."""

    kind = ""

    def __init__(self, *, provider: str = "", collections: Sequence[str] = (), metadata: Mapping | None = None):
        super().__init__(metadata=metadata)
        self.provider_name, self.collection_names = provider, tuple(collections)

    @property
    def provider(self) -> Provider:
        """The provider; raises :class:`InputError` where the catalogue names none, :class:`CatalogError` where it is of another kind."""
        if not self.provider_name:
            raise InputError(
                f"source {self.name!r} has no provider yet; fill it in in the area's catalogue ({self.cat_file or 'catalogs/'})"
            )
        provider = find_provider(self.provider_name)
        if provider.kind != self.kind:
            raise CatalogError(f"provider {provider.name} is of kind {provider.kind}, source {self.name!r} needs {self.kind}")
        return provider

    @property
    def collections(self) -> tuple[Collection, ...]:
        """The collections that are searched, all of the provider where the catalogue chooses none; raises :class:`CatalogError`."""
        known = {collection.name: collection for collection in self.provider.collections}
        unknown = sorted(set(self.collection_names) - set(known))
        if unknown:
            raise CatalogError(f"provider {self.provider_name} has no collection {', '.join(unknown)}; it has {', '.join(known)}")
        return tuple(known[name] for name in self.collection_names) if self.collection_names else tuple(known.values())

    def find(self, selection: Selection) -> Found:
        """Id of what is asked, not of what is answered: planning must not ask the network.

        A period that has been over for 60 days is searched once; a later one is searched anew each day, since its last scenes
        arrive after it. A provider that the catalogue names wrongly is a missing input: the area's other archives go on without
        it.
        """
        try:
            provider, collections = self.provider, self.collections
        except CatalogError as error:
            raise InputError(str(error)) from error
        today = datetime.now(UTC).date()
        asked = {
            "provider": [provider.name, provider.url],
            "collections": [[each.name, dict(each.sensors), dict(each.assets)] for each in collections],
            "day": today.isoformat() if selection.period.last_year >= (today - SETTLES).year else "",
        }
        return Found(ids=(content_id(json.dumps(asked, sort_keys=True)),), title=provider.title)

    def search(self, tile: Tile, period: Period) -> Iterator[Offer | ArchivedScene | SceneError]:
        """What the archive offers of a tile; a scene that cannot be described comes as its error."""
        raise CatalogError(f"driver {type(self).__name__} cannot search")


class StacArchiveSource(NetworkArchive):
    """A STAC API."""

    name = "stac_archive"
    kind = "stac"

    def search(self, tile: Tile, period: Period) -> Iterator[Offer | SceneError]:
        """Scenes that touch ``tile`` in the years of ``period``.

        Raises
        ------
        InputError
            Where the API does not answer, or not as a STAC API does, in any of the provider's attempts.
        """
        place = tile.extent.to_crs("EPSG:4326")
        for collection in self.collections:
            items = self._ask(collection, place, period)
            used = [item for item in items if not is_unused(item, collection)]
            if len(used) < len(items):
                passed = f"{len(items) - len(used)} of {len(items)} items"
                log.info("%s %s: %s are of %s", self.provider.name, collection.name, passed, ", ".join(collection.unused))
            for item in used:
                try:
                    offer = read_item(item, self.provider, collection)
                except SceneError as error:
                    yield error
                    continue
                if offer.footprint.intersection(place.geom).area > 0:
                    yield offer

    def _ask(self, collection: Collection, place: Geometry, period: Period) -> list[Mapping]:
        provider = self.provider

        def ask() -> list[Mapping]:
            # It is asked again here, and not by the client: a page that breaks off in the middle needs that too.
            reader = pystac_client.stac_api_io.StacApiIO(timeout=provider.patience.timeout_s, max_retries=0)
            try:
                search = pystac_client.Client.open(provider.url, stac_io=reader).search(
                    collections=[collection.name],
                    bbox=list(place.boundingbox.bbox),
                    datetime=f"{period.first_year}-01-01T00:00:00Z/{period.last_year}-12-31T23:59:59Z",
                    limit=PAGE_ITEMS,
                    max_items=MAX_ITEMS,
                )
                return list(search.items_as_dicts())
            except pystac_client.exceptions.APIError as error:
                # The client tells a connection that broke off in the middle of a page by the same error as a refusal.
                raise TransferError(str(error)) from error
            except requests.RequestException as error:
                raise TransferError(f"no answer ({type(error).__name__})") from error
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise TransferError(f"its answer is not that of a STAC API: {error!r}") from error

        try:
            return retry(ask, f"{provider.url}, collection {collection.name}", provider.patience)
        except TransferError as error:
            raise InputError(
                f"archive {provider.name} cannot be searched: {error}; what is indexed already stays, run again later"
            ) from error
