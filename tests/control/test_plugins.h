/* test_plugins.h - what the test plugins, linked in and loaded, agree on. */
#pragma once

#include "../../dataplane/base.h"
#include "../../dataplane/tela_plugin.h"

#define TEST_SERVICE "test.Svc"
#define TEST_SCHEMA  0x1111222233334444ull
