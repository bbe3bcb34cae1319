"""API v2 under the Python package `tailscale` (PyPI): with an API key and as an OAuth client.

The package knows no other server than Tailscale's, so its requests are led to the server under test.
"""

import asyncio
import os
import sys

import aiohttp
from tailscale import Tailscale
from tailscale.exceptions import (
    TailscaleError,
    TailscaleNotFoundError,
    TailscalePermissionError,
    TailscaleUnauthorizedError,
)

SERVER = os.environ["SERVER"]
KEY = os.environ["KEY"]
POLICY = """{
  // kept as written
  "tagOwners": {"tag:server": [], "tag:web": ["tag:server"]},
  "grants": [{"src": ["*"], "dst": ["*"], "ip": ["*"]}],
}
"""


class Led:
    """A session whose requests go to the server under test."""

    def __init__(self, session):
        self.session = session

    async def request(self, method, url, **how):
        return await self.session.request(method, f"{SERVER}{url.path_qs}", **how)


async def refused(kind, doing):
    """Waits for a refusal of this kind."""
    try:
        await doing
    except kind as e:
        return e
    raise AssertionError(f"this was not refused with {kind.__name__}")


async def node(session, name):
    """A waiting login let in: a device without a client."""
    auth = f"hskey-authreq-{name.encode().hex():0>24}"
    head = {"Authorization": f"Bearer {KEY}"}
    body = {"user": "anna", "key": auth, "name": name, "routes": ["10.7.0.0/16"]}
    async with session.post(f"{SERVER}/api/v1/debug/node", json=body, headers=head) as a:
        a.raise_for_status()
    async with session.post(f"{SERVER}/api/v1/auth/register", json={"user": "anna", "authId": auth}, headers=head) as a:
        a.raise_for_status()
        return (await a.json())["node"]["id"]


async def main():
    async with aiohttp.ClientSession() as session:
        led = Led(session)
        api = Tailscale(api_key=KEY, session=led)
        laptop, server = await node(session, "laptop"), await node(session, "server")

        devices = await api.devices()
        assert {d.hostname for d in devices.values()} == {"laptop", "server"}, devices
        device = await api.device(laptop)
        assert device.advertised_routes == ["10.7.0.0/16"] and device.enabled_routes == [] and device.authorized
        assert (await api.device(device.node_id)).device_id == laptop, "by the stable id too"
        await api.rename_device(laptop, name="desk")
        assert (await api.device(laptop)).name.startswith("desk.")
        routes = await api.set_device_routes(laptop, routes=["10.7.0.0/16"])
        assert routes.enabled_routes == ["10.7.0.0/16"]
        assert (await api.device_routes(laptop)).enabled_routes == ["10.7.0.0/16"]
        await api.set_device_tags(server, tags=["tag:server"])
        assert (await api.device(server)).tags == ["tag:server"]
        await api.expire_device_key(laptop)
        assert not (await api.device(laptop)).key_expiry_disabled
        await api.set_device_key_expiry(laptop, key_expiry_disabled=True)
        assert (await api.device(laptop)).key_expiry_disabled
        await refused(TailscaleNotFoundError, api.device("999"))
        await api.authorize_device(laptop, authorized=False)
        assert not (await api.device(laptop)).authorized
        await api.authorize_device(laptop, authorized=True)
        assert (await api.device(laptop)).authorized

        users = await api.users()
        assert [u.display_name for u in users] == ["anna"] and users[0].device_count == 1
        assert (await api.user(users[0].user_id)).user_id == users[0].user_id

        policy = await api.policy_file()
        assert policy.etag
        written = await api.set_policy_file(POLICY, etag=policy.etag)
        assert written.policy == POLICY and written.etag != policy.etag
        await refused(TailscaleError, api.set_policy_file(POLICY, etag=policy.etag))
        assert (await api.validate_policy_file(POLICY)).valid
        assert not (await api.validate_policy_file("{ nothing")).valid
        closed = [{"src": "tag:server", "deny": ["tag:server:22"]}]
        assert not (await api.test_policy_file(closed)).valid
        assert (await api.test_policy_file([{"src": "tag:web", "accept": ["tag:server:22"]}])).valid

        await api.set_dns_nameservers(dns=["9.9.9.9"])
        assert (await api.dns_nameservers()).dns == ["9.9.9.9"]
        await api.set_dns_search_paths(search_paths=["lan"])
        assert (await api.dns_search_paths()).search_paths == ["lan"]
        await refused(TailscaleError, api.set_dns_nameservers(dns=["not an address"]))
        assert (await api.dns_nameservers()).dns == ["9.9.9.9"], "what is refused changes nothing"
        settings = await api.tailnet_settings()
        assert settings.devices_key_duration_days == 0
        await api.update_tailnet_settings(devices_key_duration_days=90)
        assert (await api.tailnet_settings()).devices_key_duration_days == 90
        await api.update_tailnet_settings(devices_approval_on=True)
        assert (await api.tailnet_settings()).devices_approval_on
        free = await api.key((await api.create_key(tags=["tag:server"], preauthorized=True)).key_id)
        bound = await api.key((await api.create_key(tags=["tag:server"])).key_id)
        assert free.capabilities.devices.create.preauthorized
        assert not bound.capabilities.devices.create.preauthorized
        await api.update_tailnet_settings(devices_approval_on=False)

        made = await api.create_key(tags=["tag:server"], reusable=True, description="for tests")
        assert made.key.startswith("hskey-auth-")
        seen = await api.key(made.key_id)
        assert not seen.key and seen.description == "for tests" and seen.capabilities.devices.create.reusable
        await api.delete_key(made.key_id)
        assert (await api.key(made.key_id)).invalid

        # An OAuth client does what its scopes say, to its own tags.
        client = await api.create_key(key_type="client", scopes=["auth_keys", "devices:core"], tags=["tag:server"])
        oauth = Tailscale(oauth_client_id=client.key_id, oauth_client_secret=client.key, session=led)
        assert len(await oauth.devices()) == 2
        await oauth.create_key(tags=["tag:server"])
        await oauth.create_key(tags=["tag:web"])  # tag:server owns it
        await refused(TailscalePermissionError, oauth.create_key(tags=["tag:other"]))
        await refused(TailscalePermissionError, oauth.create_key())
        await refused(TailscalePermissionError, oauth.users())
        await refused(TailscalePermissionError, oauth.set_policy_file(POLICY))
        await refused(TailscalePermissionError, oauth.create_key(key_type="client", scopes=["all"]))
        await refused(TailscalePermissionError, oauth.delete_device(laptop))
        await oauth.delete_device(server)
        wrong = Tailscale(oauth_client_id=client.key_id, oauth_client_secret=client.key[:-1] + "x", session=led)
        await refused(TailscaleUnauthorizedError, wrong.devices())
        await api.delete_key(client.key_id)
        await refused(TailscaleUnauthorizedError, oauth.devices())
        await refused(TailscaleUnauthorizedError, Tailscale(api_key="hskey-api-000000000000-0", session=led).devices())
        assert client.key_id not in [k.key_id for k in await api.keys()]
        print("the package tailscale: devices, routes, tags, keys, users, policy, DNS, settings, OAuth: as expected")


sys.exit(asyncio.run(main()))
