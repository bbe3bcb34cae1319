'use strict';
'require view';
'require form';
'require fs';
'require uci';

// The settings of /etc/config/hearthgate. Saving reloads the service by its trigger.

// Services of dynamic DNS: id, label, what has to be filled in beside name and secret.
var SERVICES = [
	[ 'duckdns', 'DuckDNS', [] ],
	[ 'desec', 'deSEC (dedyn.io)', [] ],
	[ 'dynv6', 'dynv6', [] ],
	[ 'freedns', 'FreeDNS (afraid.org)', [] ],
	[ 'noip', 'No-IP', [ 'user' ] ],
	[ 'dyn', 'Dyn', [ 'user' ] ],
	[ 'dynu', 'Dynu', [ 'user' ] ],
	[ 'inwx', 'INWX', [ 'user' ] ],
	[ 'ovh', 'OVH', [ 'user' ] ],
	[ 'strato', 'Strato', [ 'user' ] ],
	[ 'dyndns2', _('Another service that speaks dyndns2'), [ 'user', 'url' ] ],
	[ 'url', _('Any other service, by its URL'), [ 'user', 'url' ] ],
	[ 'rfc2136', _('A name server of your own (RFC 2136)'), [ 'user', 'url', 'zone', 'ttl' ] ]
];
// Whoever may read the settings must not read the secret, so it is in a file that LuCI writes and does not show.
var SECRET = '/etc/hearthgate/dyndns.secret';

// Shows a field for the services that want it.
function wanted(option, field) {
	SERVICES.forEach(function(service) {
		if (field ? service[2].indexOf(field) >= 0 : true)
			option.depends('service', service[0]);
	});
}

return view.extend({
	render: function() {
		var m = new form.Map('hearthgate', 'Hearthgate', _('Empty fields keep the usual values.'));
		var s = m.section(form.NamedSection, 'main', 'hearthgate', _('Server'));
		s.anonymous = true;

		var o = s.option(form.Flag, 'enabled', _('Enabled'));
		o.default = '1';
		o.rmempty = false;

		o = s.option(form.Value, 'server_url', _('URL for clients'),
			_('Plain http works with official clients only for private addresses; use https for a name.'));
		o.placeholder = _('http, the LAN address and the port');

		o = s.option(form.Value, 'port', _('Port'));
		o.datatype = 'port';
		o.placeholder = '8080';

		o = s.option(form.Value, 'base_domain', _('Suffix of device names'));
		o.datatype = 'hostname';
		o.placeholder = 'hearthgate.internal';

		o = s.option(form.Flag, 'magic_dns', _('Names for devices (MagicDNS)'));
		o.default = '1';
		o.rmempty = false;

		o = s.option(form.DynamicList, 'nameserver', _('Resolvers for all devices'));
		o.datatype = 'ipaddr';

		o = s.option(form.Flag, 'approval', _('New devices wait until somebody approves them'));
		o.default = '0';
		o.rmempty = false;

		o = s.option(form.Flag, 'relay', _('Relay for devices that cannot reach each other'));
		o.default = '1';
		o.rmempty = false;

		o = s.option(form.Flag, 'stun', _('STUN'));
		o.default = '1';
		o.rmempty = false;

		o = s.option(form.Flag, 'port_mapping', _('Ask a router in front of this one to let the world in'),
			_('By UPnP, PCP or NAT-PMP. A router with a public address of its own needs the switch "Accept from the Internet" instead.'));
		o.default = '0';
		o.rmempty = false;

		o = s.option(form.ListValue, 'log_level', _('Log'));
		[ 'error', 'warn', 'info', 'debug', 'trace' ].forEach(function(level) { o.value(level); });
		o.default = 'info';

		s = m.section(form.NamedSection, 'router', 'router', _('This router in the network'));

		o = s.option(form.Flag, 'enabled', _('Member of the network'),
			_('It joins by itself; devices then reach it, and what is switched on below.'));
		o.rmempty = false;

		o = s.option(form.DynamicList, 'advertise_route', _('Subnets that devices reach through it'));
		o.datatype = 'cidr';
		o.placeholder = '192.168.1.0/24';

		o = s.option(form.Flag, 'advertise_exit_node', _('Carries the Internet traffic of devices that ask for it'));
		o.rmempty = false;

		o = s.option(form.Flag, 'accept_routes', _('Uses the subnets that other routers offer'));
		o.rmempty = false;

		s = m.section(form.NamedSection, 'network', 'network', _('Firewall'));

		o = s.option(form.Flag, 'public', _('Accept from the Internet'),
			_('Opens the ports of the server, STUN and WireGuard to the zone wan.'));
		o.default = '0';
		o.rmempty = false;

		s = m.section(form.NamedSection, 'dyndns', 'dyndns', _('A name that follows the public addresses'),
			_('Dynamic DNS, for a line whose addresses change. It can be set on the program\'s own pages instead.'));

		o = s.option(form.ListValue, 'service', _('Service'));
		o.value('', _('none, or as set on its own pages'));
		SERVICES.forEach(function(service) { o.value(service[0], service[1]); });
		o.rmempty = true;

		o = s.option(form.Value, 'name', _('The whole name'));
		o.datatype = 'hostname';
		o.placeholder = 'home.example.org';
		o.rmempty = false;
		wanted(o);

		o = s.option(form.Value, 'user', _('User name, or name of the key'));
		wanted(o, 'user');

		o = s.option(form.Value, '_secret', _('Token or password'),
			_('Kept in a file and not shown again. Empty: as it is.'));
		o.password = true;
		wanted(o);
		o.cfgvalue = function() { return ''; };
		o.remove = function() {};
		o.write = function(section, value) {
			return fs.write(SECRET, value + '\n', 384 /* 0600 */).then(function() {
				uci.set('hearthgate', section, 'secret_file', SECRET);
				// The service is told of changed settings only.
				uci.set('hearthgate', section, 'secret_changed', String(Math.floor(Date.now() / 1000)));
			});
		};

		o = s.option(form.Value, 'url', _('Address of the server, or URL'),
			_('With {name}, {secret}, {ip4}, {ip6} in their places where it is a URL.'));
		wanted(o, 'url');

		o = s.option(form.Value, 'zone', _('Zone'), _('Empty: the name without its first word.'));
		o.datatype = 'hostname';
		wanted(o, 'zone');

		o = s.option(form.Value, 'ttl', _('Seconds in caches'));
		o.datatype = 'range(30,86400)';
		o.placeholder = '60';
		wanted(o, 'ttl');

		o = s.option(form.Flag, 'ipv4', _('It leads to the IPv4 address'));
		o.default = '1';
		o.rmempty = false;
		wanted(o);

		o = s.option(form.Flag, 'ipv6', _('It leads to the IPv6 address'));
		o.default = '1';
		o.rmempty = false;
		wanted(o);

		return m.render();
	}
});
