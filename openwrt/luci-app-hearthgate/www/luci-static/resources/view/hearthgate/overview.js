'use strict';
'require view';
'require rpc';
'require uci';
'require poll';
'require dom';

// Whether the service runs, which devices there are, and the way to the program's own page.

var callNodes = rpc.declare({ object: 'hearthgate', method: 'nodes', expect: {} });
// Refused to those who may only look, who then see no code.
var callSetup = rpc.declare({ object: 'hearthgate', method: 'setup', expect: { setup: {} } });
var callVersion = rpc.declare({ object: 'hearthgate', method: 'version', expect: { version: '' } });
var callServices = rpc.declare({ object: 'service', method: 'list', params: [ 'name' ], expect: {} });

function isRunning(services) {
	var instances = (services.hearthgate || {}).instances || {};
	return Object.keys(instances).some(function(name) { return instances[name].running; });
}

function deviceRows(answer) {
	var nodes = answer.nodes || [];
	if (!nodes.length)
		return [ E('tr', { 'class': 'tr placeholder' },
			E('td', { 'class': 'td' }, answer.error ? _('The service does not answer.') : _('No device has joined yet.'))) ];
	return nodes.map(function(node) {
		return E('tr', { 'class': 'tr' }, [
			E('td', { 'class': 'td' }, node.givenName || node.name || '?'),
			E('td', { 'class': 'td' }, (node.ipAddresses || []).join(', ')),
			E('td', { 'class': 'td' }, (node.user || {}).name || '-'),
			E('td', { 'class': 'td' }, node.online ? _('online') : _('offline'))
		]);
	});
}

return view.extend({
	load: function() {
		return Promise.all([ callServices('hearthgate'), callNodes(), callVersion(), uci.load('hearthgate'),
			L.resolveDefault(callSetup(), {}) ]);
	},

	render: function(data) {
		var status = E('p', {}), table = E('table', { 'class': 'table' });
		var setup = data[4] || {};
		var port = uci.get('hearthgate', 'main', 'port') || '8080';
		var scheme = uci.get('hearthgate', 'main', 'tls_cert') ? 'https://' : 'http://';
		var page = scheme + window.location.hostname + ':' + port + '/admin/';

		function show(services, nodes) {
			dom.content(status, isRunning(services) ? _('The service is running.') : _('The service is not running.'));
			dom.content(table, [ E('tr', { 'class': 'tr table-titles' },
				[ _('Device'), _('Addresses'), _('User'), _('State') ].map(function(title) {
					return E('th', { 'class': 'th' }, title);
				})) ].concat(deviceRows(nodes)));
		}

		show(data[0], data[1]);
		poll.add(function() {
			return Promise.all([ callServices('hearthgate'), callNodes() ]).then(function(fresh) {
				show(fresh[0], fresh[1]);
			});
		}, 10);

		return E('div', {}, [
			E('h2', {}, 'Hearthgate'),
			E('p', {}, data[2]),
			status,
			E('p', {}, E('a', { 'class': 'btn cbi-button-action', 'href': page, 'target': '_blank', 'rel': 'noreferrer' },
				_('Open the full page'))),
			setup.code ? E('div', { 'class': 'alert-message notice' }, [
				E('p', {}, _('Nobody has claimed this box yet. Open the full page and enter this code:')),
				E('p', {}, E('code', { 'style': 'font-size:150%' }, setup.code))
			]) : '',
			E('h3', {}, _('Devices')),
			table
		]);
	},

	handleSave: null,
	handleSaveApply: null,
	handleReset: null
});
