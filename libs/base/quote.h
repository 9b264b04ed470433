/* quote.h: text between double quotes, escaped as Go's %q does it. */
#ifndef MRD_BASE_QUOTE_H
#define MRD_BASE_QUOTE_H

#include "base/bytes.h"

/* Appends "text" with quotes. What is not UTF-8 comes as \xNN; of the printable characters beyond ASCII all
 * stay as they are but control, soft-hyphen and separator characters, which come as \uNNNN. */
void mrd_quote_append(struct mrd_bytes text, struct mrd_buf *out);

#endif
