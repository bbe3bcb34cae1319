'use strict';
'require view';
'require form';

// The settings of /etc/config/hearthgate. Saving reloads the service by its trigger.

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
		o.placeholder = _('from the LAN address');

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

		return m.render();
	}
});
