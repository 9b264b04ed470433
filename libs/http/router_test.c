#include "http/router.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { GET = 1, POST = 2 };

static const struct {
    const char *pattern;
    unsigned methods;
} routes[] = {
    {"/*",                          GET       },
    {"/api/v1/query",               GET | POST},
    {"/api/v1/label/{name}/values", GET       },
    {"/api/v1/label/{name}",        GET       },
    {"/api/v1/label/known/values",  GET       },
    {"/api/*",                      GET       },
    {"/push",                       POST      },
    {"/push",                       GET       },
    {"/{tenant}/push",              POST      },
};

static const struct {
    const char *path;
    unsigned method;
    int want; /* index in routes; -1: none for the method; -2: none */
    const char *param;
} cases[] = {
    {"/api/v1/query",              GET,  1,  ""                   },
    {"/api/v1/query",              POST, 1,  ""                   },
    {"/api/v1/label/a/values",     GET,  2,  "a"                  },
    {"/api/v1/label/a%2Fb/values", GET,  2,  "a%2Fb"              },
    {"/api/v1/label/values",       GET,  3,  "values"             },
    {"/api/v1/label/known/values", GET,  4,  ""                   },
    {"/api/v1/label//values",      GET,  5,  "v1/label//values"   },
    {"/api/v1/label/a/b/values",   GET,  5,  "v1/label/a/b/values"},
    {"/api/",                      GET,  5,  ""                   },
    {"/api",                       GET,  0,  "api"                },
    {"/",                          GET,  0,  ""                   },
    {"/push",                      POST, 6,  ""                   },
    {"/push",                      GET,  7,  ""                   },
    {"/farm/push",                 POST, 8,  "farm"               },
    {"/farm/push",                 GET,  -1, ""                   },
    {"/api/v1/label/a/values",     POST, -1, ""                   },
    {"*",                          GET,  -2, ""                   },
    {"",                           GET,  -2, ""                   },
};

static void the_most_telling_pattern_wins(void **state)
{
    (void)state;
    static struct mrd_router router;
    for (size_t i = 0; i < MRD_ARRAY_LEN(routes); i++) {
        mrd_router_add(&router, routes[i].pattern, routes[i].methods, i);
    }
    for (size_t i = 0; i < MRD_ARRAY_LEN(cases); i++) {
        const struct mrd_router_match match =
            mrd_router_find(&router, mrd_bytes_of(cases[i].path), cases[i].method);
        const int got = match.found ? (int)match.value : match.methods != 0 ? -1 : -2;
        if (got != cases[i].want || !mrd_bytes_equal(match.param, mrd_bytes_of(cases[i].param))) {
            fail_msg("%s: %d %.*s", cases[i].path, got, MRD_FMT(match.param));
        }
    }
}

static void other_methods_of_a_path_are_known(void **state)
{
    (void)state;
    static struct mrd_router router;
    mrd_router_add(&router, "/push", POST, 0);
    mrd_router_add(&router, "/push", GET, 1);
    const struct mrd_router_match match = mrd_router_find(&router, MRD_BYTES("/push"), 4);
    assert_false(match.found);
    assert_int_equal(match.methods, GET | POST);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_most_telling_pattern_wins),
        cmocka_unit_test(other_methods_of_a_path_are_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
