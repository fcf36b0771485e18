"""The estimators behind the interfaces of other libraries, each in a module that imports its library."""
