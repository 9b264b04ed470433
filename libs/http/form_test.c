#include "http/form.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* Expected as Go's url.ParseQuery gives it; `want` is "name=value" lines, NUL shown as "\\0". */
static const struct {
    const char *text;
    const char *want; /* NULL: an error */
} form_cases[] = {
    {"",                                ""                     },
    {"a=1",                             "a=1\n"                },
    {"a=1&b=2&a=3",                     "a=1\nb=2\na=3\n"      },
    {"a",                               "a=\n"                 },
    {"=",                               "=\n"                  },
    {"&&a=1&",                          "a=1\n"                },
    {"a=b=c",                           "a=b=c\n"              },
    {"a=%41%6a%6A",                     "a=Ajj\n"              },
    {"a+b=c+d",                         "a b=c d\n"            },
    {"a=%2B%26%3D%25",                  "a=+&=%\n"             },
    {"match%5B%5D=up%7Ba%3D%22b%22%7D", "match[]=up{a=\"b\"}\n"},
    {"a=%00x",                          "a=\\0x\n"             },
    {"a=\xc3\xa9",                      "a=\xc3\xa9\n"         },
    {"a=%",                             NULL                   },
    {"a=%4",                            NULL                   },
    {"a=%4g",                           NULL                   },
    {"a=%g4",                           NULL                   },
    {"%zz=1",                           NULL                   },
    {"a=1;b=2",                         NULL                   },
    {"a=1&;",                           NULL                   },
};

static void print(struct mrd_buf *out, struct mrd_bytes bytes)
{
    assert_int_equal(bytes.data[bytes.size], 0);
    for (size_t i = 0; i < bytes.size; i++) {
        if (bytes.data[i] == 0) {
            mrd_buf_append_text(out, "\\0");
        } else {
            mrd_buf_append_u8(out, bytes.data[i]);
        }
    }
}

static void parameters_are_decoded_as_go_does(void **state)
{
    (void)state;
    for (size_t i = 0; i < MRD_ARRAY_LEN(form_cases); i++) {
        struct mrd_http_param *params = NULL;
        size_t count = 0;
        uint8_t *storage = NULL;
        struct mrd_error err;
        const enum mrd_status status =
            mrd_form_parse(mrd_bytes_of(form_cases[i].text), &params, &count, &storage, &err);
        struct mrd_buf got = {0};
        for (size_t k = 0; k < count; k++) {
            print(&got, params[k].name);
            mrd_buf_append_text(&got, "=");
            print(&got, params[k].value);
            mrd_buf_append_text(&got, "\n");
        }
        mrd_buf_append_u8(&got, 0);
        const bool right =
            form_cases[i].want == NULL
                ? status == MRD_E_INVALID
                : status == MRD_OK && strcmp((const char *)got.data, form_cases[i].want) == 0;
        if (!right) {
            fail_msg("%s: status %d, %s", form_cases[i].text, status, (const char *)got.data);
        }
        mrd_buf_fini(&got);
        free(params);
        free(storage);
    }
}

static void pairs_beside_a_broken_one_are_kept(void **state)
{
    (void)state;
    struct mrd_http_param *params = NULL;
    size_t count = 0;
    uint8_t *storage = NULL;
    struct mrd_error err;
    assert_int_equal(
        mrd_form_parse(MRD_BYTES("a=1&b=x%zzy&c;d=2&%4=5&e=3"), &params, &count, &storage, &err),
        MRD_E_INVALID);
    assert_string_equal(err.text, "invalid URL escape \"%zz\"");
    assert_int_equal(count, 2);
    assert_true(mrd_bytes_equal(params[0].value, MRD_BYTES("1")));
    assert_true(mrd_bytes_equal(params[1].value, MRD_BYTES("3")));
    free(params);
    free(storage);
}

static void the_number_of_parameters_is_bounded(void **state)
{
    (void)state;
    static char text[2 * MRD_HTTP_PARAMS_MAX + 1];
    memset(text, '&', sizeof(text));
    struct mrd_http_param *params = NULL;
    size_t count = 0;
    uint8_t *storage = NULL;
    struct mrd_error err;
    const struct mrd_bytes too_many = {(const uint8_t *)text, MRD_HTTP_PARAMS_MAX};
    assert_int_equal(mrd_form_parse(too_many, &params, &count, &storage, &err), MRD_E_LIMIT);
    assert_null(storage);
    const struct mrd_bytes enough = {(const uint8_t *)text, MRD_HTTP_PARAMS_MAX - 1};
    assert_int_equal(mrd_form_parse(enough, &params, &count, &storage, &err), MRD_OK);
    assert_int_equal(count, 0);
    free(params);
    free(storage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parameters_are_decoded_as_go_does),
        cmocka_unit_test(pairs_beside_a_broken_one_are_kept),
        cmocka_unit_test(the_number_of_parameters_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
