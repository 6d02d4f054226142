// No header and no library of Python is needed to build this: its few functions are looked up by
// name in the running process, so that the same file serves an interpreter that has loaded LAMMPS
// and a LAMMPS that has none yet.

#include "python_host.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <string>

namespace {

template <typename F> F function(const char *name)
{
  return reinterpret_cast<F>(dlsym(RTLD_DEFAULT, name));
}

bool refuse(LaderaPython &python, const std::string &sentence)
{
  snprintf(python.message, LADERA_TEXT, "%s", sentence.c_str());
  return false;
}

bool is_running()
{
  auto is_initialized = function<int (*)()>("Py_IsInitialized");
  return is_initialized && is_initialized();
}

// Start the interpreter of the environment for which this plugin was built.
bool start(LaderaPython &python)
{
  if (!function<void *>("Py_InitializeEx")) {
    const std::string library = LADERA_LIBPYTHON;
    if (library.empty())
      return refuse(python,
                    "The Python of " LADERA_EXECUTABLE " has no shared library that LAMMPS could "
                    "load; run the script by the Python module lammps instead.");
    if (!dlopen(library.c_str(), RTLD_NOW | RTLD_GLOBAL)) return refuse(python, dlerror());
  }
  const char *before = getenv("PYTHONHOME");
  const std::string home = before ? before : "";
  setenv("PYTHONHOME", LADERA_PYTHONHOME, 1);
  function<void (*)(int)>("Py_InitializeEx")(0);
  if (before) setenv("PYTHONHOME", home.c_str(), 1);
  else unsetenv("PYTHONHOME");
  const char *version = function<const char *(*)()>("Py_GetVersion")();
  if (strncmp(version, LADERA_PYTHON_VERSION ".", strlen(LADERA_PYTHON_VERSION ".")) != 0)
    return refuse(python,
                  "This LAMMPS holds Python " + std::string(version, strcspn(version, " ")) +
                      " and Ladera is installed for " LADERA_PYTHON_VERSION
                      "; install Ladera for the same, and build the plugin with it.");
  // The packages of that environment, and not those of the Python it was made from.
  function<int (*)(const char *)>("PyRun_SimpleString")(
      "import site, sys\n"
      "sys.executable = r'''" LADERA_EXECUTABLE "'''\n"
      "sys.path[:] = [path for path in sys.path if path not in site.getsitepackages()]\n"
      "for folder in r'''" LADERA_SITE_PACKAGES "'''.split(':'):\n"
      "    site.addsitedir(folder)\n"
      "if r'''" LADERA_SOURCE "''':\n"
      "    sys.path.insert(0, r'''" LADERA_SOURCE "''')\n");
  function<void *(*)()>("PyEval_SaveThread")();
  return true;
}

bool connect(LaderaPython &python)
{
  char code[1024];
  snprintf(code, sizeof code,
           "try:\n"
           "    from ladera.engines.lammps.bridge import connect\n"
           "    connect(%llu, '" LADERA_SOURCES "')\n"
           "except BaseException as error:\n"
           "    import ctypes\n"
           "    said = f'{type(error).__name__}: {error}'.encode()[:%d]\n"
           "    ctypes.memmove(%llu, said, len(said))\n",
           reinterpret_cast<unsigned long long>(&python), LADERA_TEXT - 1,
           reinterpret_cast<unsigned long long>(python.message));
  const int state = function<int (*)()>("PyGILState_Ensure")();
  function<int (*)(const char *)>("PyRun_SimpleString")(code);
  function<void (*)(int)>("PyGILState_Release")(state);
  if (!python.load && !python.message[0])
    return refuse(python, "Ladera could not be imported by the Python in this LAMMPS.");
  return python.load != nullptr;
}

LaderaPython python = {};

}    // namespace

const LaderaPython &ladera_python()
{
  if (!python.load) {
    python.message[0] = '\0';
    if (is_running() || start(python)) connect(python);
  }
  return python;
}

void ladera_forget(int32_t model)
{
  if (model >= 0 && python.forget) python.forget(model);
}
