"""Plugins that cannot be loaded or started: each is refused with a reason a person can act on, and nothing else notices,
while calls go on all the time."""
import json
import os
import re
import subprocess

import mesh

HOOK_MS = 1000  # where a hook hangs on purpose


def plugin(name):
    return os.path.join(mesh.program('TELA_PLUGINS'), f'{name}.so')


class WhileCallsGoOn(mesh.Case):
    each_test_anew = True
    hook_ms = 60_000

    def setUp(self):
        super().setUp()
        mesh.schemas('echo')
        self.server = self.mesh.server(hook_deadline_ms=self.hook_ms)
        self.caller = self.mesh.caller()
        self.caller.start(threads=2, ms=120_000)
        mesh.until(lambda: self.caller.calls() > 50, 'calls are made')

    def still_well(self):
        """Calls went on and none failed; changes are still made."""
        before = self.caller.calls()
        self.server.do('chain.add', service='echo', plugin='counter', **{'as': 'well'})
        mesh.until(lambda: self.caller.calls() > before + 100, 'calls go on')
        self.server.do('chain.remove', service='echo', name='well')
        got = self.caller.stop()
        self.assertEqual((set(got['codes']), got['wrong'], got['refused']), ({'OK'}, 0, 0), got)
        self.assertEqual([p['name'] for p in self.server.do('chain.show', service='echo')['plugins']], ['echo'])

    def refused(self, code, *words, **arguments):
        """The reason, of an addition that must fail and change nothing."""
        before = self.server.do('chain.show', service='echo')
        reply = self.server.ask('chain.add', service='echo', **arguments)
        self.assertFalse(reply['ok'], reply)
        after = self.server.do('chain.show', service='echo')
        self.assertEqual((after['generation'], after['plugins']), (before['generation'], before['plugins']))
        error = reply['error']
        for word in words:
            self.assertIn(word, error['message'])
        self.assertEqual(error['code'], code, error)
        return error['message']


class BadPlugins(WhileCallsGoOn):
    def test_not_loadable(self):
        self.refused('NOT_FOUND', '/nowhere/at/all.so', 'No such file', plugin='x', object='/nowhere/at/all.so')
        text = self.mesh.path('text.so')
        with open(text, 'w') as f:
            f.write('this is no shared object\n')
        self.refused('INVALID_ARGUMENT', 'text.so', plugin='x', object=text)
        empty = self.mesh.path('empty.so')
        open(empty, 'w').close()
        self.refused('INVALID_ARGUMENT', 'empty.so', 'empty', plugin='x', object=empty)
        self.refused('INVALID_ARGUMENT', 'not a regular file', plugin='x', object=self.mesh.folder)
        cut = self.mesh.path('cut.so')
        with open(plugin('probe'), 'rb') as f:
            whole = f.read()
        for size in (3000, 100, len(whole) // 2):
            with open(cut, 'wb') as to:
                to.write(whole[:size])
            self.refused('INVALID_ARGUMENT', 'cut.so', plugin='x', object=cut)
        self.refused('NOT_FOUND', 'nobody', plugin='nobody')
        self.still_well()

    def test_not_ours(self):
        self.refused('INVALID_ARGUMENT', 'not a plugin', 'tela_plugin_v1', plugin='bad_entry', object=plugin('bad_entry'))
        reason = self.refused('FAILED_PRECONDITION', 'rebuild', plugin='bad_abi', object=plugin('bad_abi'))
        built, ours = re.search(r'built for plugin ABI (\d+), this telad has ABI (\d+)', reason).groups()
        self.assertEqual(int(built), int(ours) + 1)
        self.refused('FAILED_PRECONDITION', 'another schema', 'echo.Echo', 'rebuild', plugin='bad_schema',
                     object=plugin('bad_schema'))
        # holds another plugin than the one asked for
        self.refused('INVALID_ARGUMENT', 'probe', plugin='another', object=plugin('probe'))
        # fits nothing of this service
        self.refused('INVALID_ARGUMENT', 'hooks nothing', plugin='override')
        self.still_well()

    def test_configuration(self):
        self.refused('INVALID_ARGUMENT', 'config.whom: unknown', 'who', plugin='probe', object=plugin('probe'),
                     config={'whom': 'x'})
        self.refused('INVALID_ARGUMENT', 'max_bytes', plugin='check', config={'max_bytes': 'plenty'})
        self.refused('INVALID_ARGUMENT', 'max_bytes', plugin='check', config={'max_bytes': 0})
        self.server.do('chain.add', service='echo', plugin='probe', object=plugin('probe'), config={'who': 'me'})
        self.refused('ALREADY_EXISTS', 'probe', plugin='probe', object=plugin('probe'))
        self.server.do('chain.remove', service='echo', name='probe')
        self.still_well()

    def test_start_fails(self):
        self.refused('FAILED_PRECONDITION', 'bad_start', 'no licence for Tela', plugin='bad_start', object=plugin('bad_start'),
                     config={'who': 'Tela'})
        # All or nothing: the first step of a change is undone with the second.
        reply = self.server.ask('chain.apply', service='echo', steps=[
            {'op': 'add', 'plugin': 'counter'},
            {'op': 'add', 'plugin': 'bad_start', 'object': plugin('bad_start')}])
        self.assertFalse(reply['ok'])
        self.assertIn('no licence for anybody', reply['error']['message'])
        self.still_well()

    def test_many_tries(self):
        """A bad object again and again leaves nothing behind."""
        def descriptors():
            return len(os.listdir(f'/proc/{self.server.pid}/fd'))
        for name in ('bad_entry', 'bad_abi'):
            self.server.ask('chain.add', service='echo', plugin=name, object=plugin(name))
        before = descriptors()
        for _ in range(20):
            for name in ('bad_entry', 'bad_abi', 'bad_schema', 'bad_start'):
                self.assertFalse(self.server.ask('chain.add', service='echo', plugin=name, object=plugin(name))['ok'])
        mesh.until(lambda: descriptors() <= before + 1, 'no descriptor is left open')
        self.still_well()


class Hangs(WhileCallsGoOn):
    hook_ms = HOOK_MS

    def test_start_hangs(self):
        self.refused('DEADLINE_EXCEEDED', 'hang_start', 'start', plugin='hang_start', object=plugin('hang_start'))
        self.assertGreaterEqual(self.server.do('status')['lifecycle']['abandoned'], 1)
        self.assertIn('hang_start', self.server.text())
        # Later commands work, also such that load and start something.
        self.server.do('chain.add', service='echo', plugin='probe', object=plugin('probe'))
        self.server.do('chain.remove', service='echo', name='probe')
        self.refused('DEADLINE_EXCEEDED', 'hang_start', plugin='hang_start', object=plugin('hang_start'))
        self.still_well()
        self.assertEqual(self.server.stop(), 0)

    def test_stop_hangs(self):
        self.server.do('chain.add', service='echo', plugin='hang_stop', object=plugin('hang_stop'))
        self.server.do('chain.remove', service='echo', name='hang_stop')
        mesh.until(lambda: self.server.do('status')['lifecycle']['abandoned'] >= 1, 'its thread is given up')
        self.assertIn('hang_stop', self.server.text())
        self.server.do('chain.add', service='echo', plugin='probe', object=plugin('probe'))
        self.server.do('chain.remove', service='echo', name='probe')
        self.still_well()
        self.assertEqual(self.server.stop(), 0)

    def test_loading_hangs(self):
        """Inside the dynamic linker: nothing can be loaded any more, and that is said by name."""
        self.refused('DEADLINE_EXCEEDED', 'hang_load.so', plugin='hang_load', object=plugin('hang_load'))
        self.refused('UNAVAILABLE', 'hang_load.so', 'hangs', plugin='probe', object=plugin('probe'))
        self.assertIn('hang_load.so', self.server.do('status')['lifecycle']['loading_hangs_in'])
        self.still_well()  # what is linked in can still be added
        self.assertEqual(self.server.stop(), 0)


class BadConfiguration(mesh.Case):
    """The same mistakes in a configuration file."""
    each_test_anew = True

    def setUp(self):
        super().setUp()
        mesh.schemas('echo')

    def check(self, services):
        path = self.mesh.path('check.yaml')
        port = {'name': 'mem0', 'device': self.mesh.memif('server'), 'address': '10.77.0.1/24'}
        with open(path, 'w') as f:
            json.dump(self.mesh.config('checked', [port], 0, services=services), f, indent=1)
        done = subprocess.run([mesh.program('TELA_TELAD'), '--config', path, '--check'], capture_output=True, text=True,
                              timeout=20)
        return done.returncode, done.stdout + done.stderr

    def test_check(self):
        self.assertEqual(self.check(['echo'])[0], 0)
        for words, services in (
                (('check.yaml', 'ecko'), ['ecko']),
                (('bad_abi.so', 'ABI'), [{'name': 'echo', 'plugins': [{'plugin': 'bad_abi', 'object': plugin('bad_abi')}]}]),
                (('another schema',), [{'name': 'echo', 'plugins': [
                    {'plugin': 'bad_schema', 'object': plugin('bad_schema')}]}]),
                (('No such file',), [{'name': 'echo', 'object': '/nowhere.so'}]),
                (('services[0].config.size: unknown key',), [{'name': 'echo', 'config': {'size': 3}}]),
                (('serves nothing',), ['counter'])):
            status, text = self.check(services)
            self.assertEqual(status, 1, text)
            for word in words:
                self.assertIn(word, text)

    def test_one_service_fails_and_the_others_run(self):
        server = self.mesh.server(('calculator', {'name': 'echo', 'plugins': [
            {'plugin': 'bad_start', 'object': plugin('bad_start'), 'config': {'who': 'the file'}}]}))
        self.assertIn('failed=echo', server.text())
        self.assertEqual(server.service('echo')['state'], 'failed')
        self.assertIn('no licence for the file', server.service('echo')['last_error'])
        self.assertEqual(server.service('calculator')['state'], 'running')
        got = server.call('echo', 'echo', mesh.table('echo.Message', data=b'x'))
        self.assertEqual((got.status, got.outcome), ('UNAVAILABLE', 'not executed'), got)
        reply = server.ask('service.activate', service='echo')
        self.assertIn('no licence for the file', reply['error']['message'])
        self.assertEqual(server.stop(), 0)


if __name__ == '__main__':
    mesh.main()
