"""Import and export of data as a folder in the layout of Humanloop's export tool."""
