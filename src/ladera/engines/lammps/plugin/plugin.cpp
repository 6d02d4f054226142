// What LAMMPS calls when it loads the plugin: it makes `pair_style ladera` known.

#include "pair_ladera.h"

#include "comm.h"
#include "error.h"
#include "lammps.h"

#include <cstdio>
#include <cstring>
#include <dlfcn.h>
#include <string>

using namespace LAMMPS_NS;

// The description of a style, as LAMMPS documents it for plugins.
struct PluginStyle {
  const char *version;
  const char *style;
  const char *name;
  const char *info;
  const char *author;
  void *(*create)(void *);
  void *handle;
};

static void *create(void *lammps)
{
  return new PairLadera(static_cast<LAMMPS *>(lammps));
}

// What differs between the LAMMPS that loads the plugin and the one it was built for. Only C
// functions may be asked before that is known: classes differ from version to version.
static std::string difference(void *lammps)
{
  auto version = reinterpret_cast<int (*)(void *)>(dlsym(RTLD_DEFAULT, "lammps_version"));
  if (version && version(lammps) != LADERA_LAMMPS_NUMBER)
    return "version " + std::to_string(version(lammps)) + ", and not the " +
        std::to_string(LADERA_LAMMPS_NUMBER);
  auto setting = reinterpret_cast<int (*)(void *, const char *)>(
      dlsym(RTLD_DEFAULT, "lammps_extract_setting"));
  if (setting && (setting(lammps, "tagint") != sizeof(tagint) ||
                  setting(lammps, "bigint") != sizeof(bigint)))
    return "built with another size of integers than that";
  return "";
}

extern "C" void lammpsplugin_init(void *lammps, void *handle, void *regfunc)
{
  const std::string differs = difference(lammps);
  if (!differs.empty()) {
    const std::string sentence = "This LAMMPS is " + differs +
        " for which the plugin of Ladera was built; run 'ladera lammps build' with it.";
    auto stop = reinterpret_cast<void (*)(void *, int, const char *)>(
        dlsym(RTLD_DEFAULT, "lammps_error"));
    if (stop) stop(lammps, 2, sentence.c_str());    // of all processes
    fprintf(stderr, "ERROR: %s\n", sentence.c_str());
    return;
  }
  PluginStyle plugin = {static_cast<LAMMPS *>(lammps)->version,
                        "pair",
                        "ladera",
                        "machine-learned potentials of Ladera",
                        "The Ladera founders",
                        create,
                        handle};
  reinterpret_cast<void (*)(PluginStyle *, void *)>(regfunc)(&plugin, lammps);
}
