"""Networks that accounts signed in from, in the memory of one process and within bounds."""

from collections import OrderedDict, defaultdict


class RememberedNetworks:
    """The latest networks of each account. Every call takes about constant time.

    Args:
        most_of_account: networks kept of one account.
        most: networks kept in all. Past that the account with the most of them loses its
            oldest one, so that nobody who signs in from everywhere pushes out what is
            remembered of others.
    """

    def __init__(self, *, most_of_account: int, most: int) -> None:
        self._most_of_account = most_of_account
        self._most = most
        self._total = 0
        # Until when, by account and network; what was added last comes last.
        self._until: dict[str, OrderedDict[str, float]] = {}
        self._accounts_by_size: defaultdict[int, OrderedDict[str, None]] = defaultdict(OrderedDict)

    def add(self, account: str, network: str, until: float, now: float) -> None:
        """Remember *network* for *account* from *now* on."""
        kept = self._take(account)
        networks = OrderedDict((name, end) for name, end in kept.items() if end > now)
        networks[network] = until
        networks.move_to_end(network)
        if len(networks) > self._most_of_account:
            networks.popitem(last=False)
        self._put(account, networks)
        if self._total > self._most:
            self._forget_one()

    def until(self, account: str, network: str) -> float:
        """Return when the memory of *network* ends; 0 where there is none."""
        networks = self._until.get(account)
        return 0.0 if networks is None else networks.get(network, 0.0)

    def forget(self, account: str) -> None:
        """Forget all networks of *account*."""
        self._take(account)

    def _forget_one(self) -> None:
        largest = max(self._accounts_by_size)  # of at most *most_of_account* sizes
        account = next(iter(self._accounts_by_size[largest]))
        networks = self._take(account)
        networks.popitem(last=False)
        self._put(account, networks)

    def _take(self, account: str) -> OrderedDict[str, float]:
        networks = self._until.pop(account, OrderedDict[str, float]())
        if networks:
            self._total -= len(networks)
            accounts = self._accounts_by_size[len(networks)]
            del accounts[account]
            if not accounts:
                del self._accounts_by_size[len(networks)]
        return networks

    def _put(self, account: str, networks: OrderedDict[str, float]) -> None:
        if networks:
            self._total += len(networks)
            self._until[account] = networks
            self._accounts_by_size[len(networks)][account] = None
