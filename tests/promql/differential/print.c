/* promql_print: evaluates the script on standard input and prints every result, values as bits.
 *
 *   promql_print [delayed]      with "delayed": delayed name removal
 */
#include <stdio.h>

#include "promqltest/script.h"

int main(int argc, char **argv)
{
    (void)argv;
    mrd_auto(mrd_buf_fini)
    struct mrd_buf script = {0};
    mrd_auto(mrd_buf_fini)
    struct mrd_buf out = {0};
    uint8_t page[4096];
    size_t size;
    struct mrd_error err;
    while ((size = fread(page, 1, sizeof(page), stdin)) > 0) {
        mrd_buf_append(&script, page, size);
    }
    if (mrd_script_print(mrd_buf_view(&script), argc > 1, &out, &err) != MRD_OK) {
        (void)fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    return fwrite(out.data, 1, out.size, stdout) == out.size ? 0 : 1;
}
