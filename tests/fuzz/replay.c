/* replay.c - runs a fuzz target over the files of its corpus, where there is no fuzzer: in every
 * build, with gcc and with sanitizers. usage: replay FOLDER... */
#include "fuzz.h"

#include <dirent.h>
#include <sys/stat.h>

/* A target that needs none has none. */
int __attribute__((weak)) LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	return 0;
}

/* In memory of exactly its length, so that a read beyond it shows. */
static void run_file(const char *path)
{
	FILE *f = fopen(path, "re");
	struct stat st;
	uint8_t *data;

	CHECK(f && !fstat(fileno(f), &st));
	data = malloc((size_t)st.st_size + !st.st_size);
	CHECK(data && fread(data, 1, (size_t)st.st_size, f) == (size_t)st.st_size);
	fclose(f);
	LLVMFuzzerTestOneInput(data, (size_t)st.st_size);
	free(data);
}

static uint32_t run_folder(const char *folder)
{
	DIR *d = opendir(folder);
	struct dirent *e;
	uint32_t n = 0;

	CHECK(d);
	while ((e = readdir(d))) {
		char path[4096];

		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", folder, e->d_name);
		if (getenv("TELA_FUZZ_VERBOSE"))
			fprintf(stderr, "%s\n", path);
		run_file(path);
		n++;
	}
	closedir(d);
	return n;
}

int main(int argc, char **argv)
{
	uint32_t n = 0;

	LLVMFuzzerInitialize(&argc, &argv);
	LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
	for (int i = 1; i < argc; i++)
		n += run_folder(argv[i]);
	printf("%u inputs\n", n);
	return n ? 0 : 1;
}
