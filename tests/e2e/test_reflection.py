"""What nodes say of the services they serve, and calls by schema from the command line."""
import os

import mesh


class Service(mesh.Case):
    """The service that a node has without being told, called by its own schema."""
    SERVED = ('calculator.Calculator', 'echo.Echo', 'kv.Kv', 'tela.reflection.Reflection')

    @classmethod
    def arrange(cls):
        mesh.schemas('reflection')
        cls.server = cls.mesh.server()
        cls.client = cls.mesh.client()

    def ask(self, method, request, node='server', **fields):
        return self.client.call_fast('reflection', method, mesh.table(f'tela.reflection.{request}', **fields), node)

    def services(self, node='server'):
        got = self.ask('services', 'Nothing', node)
        self.assertEqual(got.status, 'OK', got)
        all = mesh.read('tela.reflection.Services', got.payload)
        return {s.Name().decode(): s for s in (all.Services(i) for i in range(all.ServicesLength()))}

    def test_services(self):
        found = self.services()
        self.assertEqual(tuple(sorted(found)), self.SERVED)
        self.assertEqual(f'{found["echo.Echo"].Hash():016x}', self.server.service('echo')['schema'])
        self.assertEqual(tuple(self.services(None)), ('tela.reflection.Reflection',))

    def test_schemas_are_those_that_flatc_made(self):
        for name, service in self.services().items():
            got = self.ask('schema', 'Name', name=name)
            self.assertEqual(got.status, 'OK', got)
            schema = mesh.read('tela.reflection.Schema', got.payload)
            with open(os.path.join(mesh.program('TELA_BFBS'), name.split('.')[-2] + '.bfbs'), 'rb') as f:
                self.assertEqual(mesh.data_of(schema, 2), f.read())
            self.assertEqual((schema.Name().decode(), schema.Hash()), (name, service.Hash()))
            self.assertEqual(len(mesh.data_of(schema, 2)), service.SchemaBytes())

    def test_no_such_service(self):
        for name in ('echo', 'echo.Ech', 'echo.Echoo', '', 'x' * 3000):
            got = self.ask('schema', 'Name', name=name)
            self.assertEqual((got.status, got.message), ('NOT_FOUND', 'no service of that name'), got)

    def test_off(self):
        config = self.mesh.config('quiet', [], mesh.cpus()[0], services=['echo'], reflection=False)
        quiet = mesh.Node(self.mesh, config)
        self.assertEqual([s['service'] for s in quiet.do('services')['services']], ['echo'])
        got = quiet.call_fast('reflection', 'services', mesh.table('tela.reflection.Nothing'))
        self.assertEqual((got.status, got.message), ('UNAVAILABLE', 'no such service on this node'))
        self.assertEqual(quiet.stop(), 0)

    def test_listed_with_plugins_of_its_own(self):
        services = [{'name': 'echo'}, {'name': 'reflection', 'plugins': [{'plugin': 'counter'}]}]
        own = mesh.Node(self.mesh, self.mesh.config('own', [], mesh.cpus()[0], services=services))
        self.assertEqual([s['service'] for s in own.do('services')['services']], ['echo', 'reflection'])
        self.assertEqual([p['name'] for p in own.do('chain.show', service='reflection')['plugins']],
                         ['reflection', 'counter'])
        self.assertEqual(own.stop(), 0)


if __name__ == '__main__':
    mesh.main()
