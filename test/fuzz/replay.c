/*
 * replay.c
 *	  Runs a fuzz target over kept inputs, where there is no libFuzzer.
 *
 * Arguments are files, or directories of files.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * test/fuzz/replay.c
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "fuzz.h"

#include <dirent.h>
#include <sys/stat.h>

static int	count = 0;

static void
run_file(const char *path)
{
	FILE	   *file = fopen(path, "rb");
	uint8_t    *data;
	struct stat status;

	if (file == NULL || fstat(fileno(file), &status) != 0)
	{
		fprintf(stderr, "cannot open %s\n", path);
		exit(1);
	}
	data = malloc((size_t) status.st_size + 1);
	CHECK(data != NULL && fread(data, 1, (size_t) status.st_size, file) == (size_t) status.st_size);
	fclose(file);
	LLVMFuzzerTestOneInput(data, (size_t) status.st_size);
	free(data);
	count++;
}

static void
run(const char *path)
{
	DIR		   *directory = opendir(path);
	struct dirent *entry;

	if (directory == NULL)
	{
		run_file(path);
		return;
	}
	while ((entry = readdir(directory)) != NULL)
	{
		char	   *inner;

		if (entry->d_name[0] == '.')
			continue;
		CHECK(asprintf(&inner, "%s/%s", path, entry->d_name) > 0);
		run_file(inner);
		free(inner);
	}
	closedir(directory);
}

int
main(int argc, char **argv)
{
	int			i;

	LLVMFuzzerTestOneInput((const uint8_t *) "", 0);
	for (i = 1; i < argc; i++)
		run(argv[i]);
	printf("%d inputs\n", count);
	return 0;
}
