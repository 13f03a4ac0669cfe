/* SPDX-License-Identifier: Apache-2.0 */
/* Ids chosen by an extended regular expression. */
#include "runtime/matching.h"

#include <errno.h>
#include <regex.h>

#include "runtime/statedir.h"

int matching_ids(const struct globals *g, const char *expression, char ***ret, struct err *err)
{
	cleanup_strv char **all = NULL;
	char text[128];
	regex_t re;
	int r = regcomp(&re, expression, REG_EXTENDED | REG_NOSUB);

	if (r) {
		regerror(r, &re, text, sizeof(text));
		return err_set(err, EINVAL, "option --regex: \"%s\": %s", expression, text);
	}
	*ret = NULL;
	r = statedir_list(g, &all, err);
	for (char **id = all; r >= 0 && id && *id; id++)
		if (!regexec(&re, *id, 0, NULL, 0))
			strv_add(ret, *id);
	regfree(&re);
	return r;
}
